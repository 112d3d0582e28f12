"""Page: events as they are frozen. A script watches GET /events/tail."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from trailhook.api.auth import READ
from trailhook.api.context import PartsOf
from trailhook.search import grammar
from trailhook.search.grammar import NotUnderstood
from trailhook.web.event_links import EXAMPLES
from trailhook.web.events import Wrong, named, wanted_of
from trailhook.web.pages import Entry, PagesOf, page_router

PAGE = "/ui/live"
NAV = Entry(title="Live", path=PAGE)
ROWS_MAX = 500
"""Events that the page holds; older ones are left to the search."""
router = page_router()


@router.get(PAGE, dependencies=[READ])
async def live_page(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """What to watch for, and where the script puts it."""
    wanted, wrong = wanted_of(request), None
    if wanted.source_id:
        await parts.store.source(wanted.source_id)
    try:
        grammar.parse(wanted.text)
    except NotUnderstood as error:
        wrong = Wrong.of(wanted.text, error)
    given = {"q": wanted.text, "source": wanted.source_id}
    return pages.render(
        request,
        "live.html",
        wanted=wanted,
        wrong=wrong,
        sources=named(await parts.store.sources()),
        examples=EXAMPLES,
        tail="/events/tail?" + urlencode({name: value for name, value in given.items() if value}),
        rows_max=ROWS_MAX,
    )
