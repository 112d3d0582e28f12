"""Pages: dead letters, grouped by how they ended."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trailhook.api.auth import READ
from trailhook.api.context import PartsOf
from trailhook.app import Parts
from trailhook.model import BatchState
from trailhook.web.asked import Asked
from trailhook.web.deliveries import listed
from trailhook.web.pages import Entry, PagesOf, page_router

NAV = Entry(title="Dead letters", path="/ui/dead-letters")
GROUPS_SHOWN = 100
router = page_router()


@router.get("/ui/dead-letters", dependencies=[READ])
async def dead_letters(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """What was given up, and what can be done about it."""
    return pages.render(request, "dead-letters.html", **await _shown(parts, request))


@router.get("/ui/dead-letters/list", dependencies=[READ])
async def dead_letters_part(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The part that changes, alone."""
    return pages.render(request, "_dead-letters.html", **await _shown(parts, request))


async def _shown(parts: Parts, request: Request) -> dict[str, Any]:
    asked = Asked.of(request.query_params).but(state=BatchState.DEAD.value)
    groups = await parts.store.dead_groups(limit=GROUPS_SHOWN)
    sources = await parts.store.sources()
    return {
        **await listed(parts, request, asked, sources),
        "groups": groups,
        "names": {each.id: each.name for each in sources},
        "held": [each for each in sources if each.hold is not None],
        "total": await parts.store.batch_count(asked.query()),
        "narrowed": bool(asked.source or asked.outcome),
    }
