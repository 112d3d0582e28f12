"""Pages: every source at a glance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from trailhook import conditions
from trailhook.api.answers import lag_s
from trailhook.api.auth import READ
from trailhook.api.context import PartsOf
from trailhook.app import Parts
from trailhook.model import Condition, Counts, Lane, Source, SourceTotals, Value
from trailhook.store.samples import MINUTE_S, Sample
from trailhook.web.pages import Entry, PagesOf, page_router
from trailhook.web.timeline import SPANS, begin_of, columns, rate_per_minute

NAV = Entry(title="Sources", path="/", below="/ui/sources")
PAGE_ROWS = 50
HOUR = SPANS["1h"]
router = page_router()


class Row(Value, frozen=True, kw_only=True):
    """One source as the overview shows it."""

    source: Source
    status: str
    worst: Condition
    lag_s: float
    counts: Counts
    per_minute: tuple[int, ...]
    """Records sent in each minute of the last hour."""
    rate: float

    @property
    def place(self) -> str:
        """Where its logs come from, in a word."""
        return f"s3://{self.source.bucket}/{self.source.prefix}" if self.source.bucket else self._elsewhere()

    def _elsewhere(self) -> str:
        return self.source.sqs_queue_url or f"LookupEvents {', '.join(self.source.regions or (self.source.region,))}"


class Wanted(Value, frozen=True, kw_only=True):
    """Which sources somebody wants to see."""

    status: str = ""
    text: str = ""
    page: int = 1

    def query(self, **changes: object) -> str:
        """The same, or a little different, as the query of an address; empty for the first page of all."""
        new = self.but(**changes)
        given = {"status": new.status, "q": new.text, "page": str(new.page) if new.page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})

    def fits(self, source: Source) -> bool:
        """Whether the text is in its name, its id or where its logs come from."""
        places = (source.name, source.id, source.bucket or "", source.callback_url)
        return not self.text or any(self.text.casefold() in each.casefold() for each in places)


@router.get("/", dependencies=[READ])
async def overview(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """Totals and all sources."""
    return pages.render(request, "overview.html", **await _shown(parts, _wanted(request)))


@router.get("/ui/overview", dependencies=[READ])
async def overview_part(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The part that changes, alone."""
    wanted = _wanted(request)
    answer = pages.render(request, "_overview.html", **await _shown(parts, wanted))
    answer.headers["hx-replace-url"] = f"/?{query}" if (query := wanted.query()) else "/"
    return answer


def _wanted(request: Request) -> Wanted:
    given = request.query_params
    number = given.get("page", "")
    page = int(number[:9]) if number.isdecimal() and number.isascii() else 1
    return Wanted(status=given.get("status", ""), text=given.get("q", "").strip()[:200], page=max(1, page))


async def _shown(parts: Parts, wanted: Wanted) -> dict[str, Any]:
    sources = await parts.store.sources()
    lanes = await parts.store.lanes({each.lane for each in sources})
    states = {each.id: conditions.overall(each, lanes[each.lane]) for each in sources}
    found = [each for each in sources if wanted.status in ("", states[each.id]) and wanted.fits(each)]
    found.sort(key=lambda each: (-conditions.SEVERITY.index(states[each.id]), each.name.casefold(), each.id))
    page = min(wanted.page, max(1, -(-len(found) // PAGE_ROWS)))
    on_page = found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    return {
        "wanted": wanted.but(page=page),
        "rows": await _rows(parts, on_page, lanes),
        "found": len(found),
        "first": (page - 1) * PAGE_ROWS + 1,
        "pages": -(-len(found) // PAGE_ROWS),
        "sources": len(sources),
        "tally": _tally(states.values()),
        "counts": await parts.store.sum_of_counts(),
    }


def _tally(states: Iterable[str]) -> dict[str, int]:
    """How many sources are in each state, the worst first."""
    listed = list(states)
    return {state: listed.count(state) for state in reversed(conditions.SEVERITY) if state in listed}


async def _rows(parts: Parts, sources: Sequence[Source], lanes: Mapping[str, Lane]) -> list[Row]:
    ids, now = [each.id for each in sources], parts.clock.now()
    totals = await parts.store.totals_of(ids)
    samples = await parts.store.samples(ids, step_s=MINUTE_S, since_at=begin_of(HOUR, now))
    return [
        _row(each, lanes[each.lane], totals[each.id], samples[each.id], now) for each in sources if each.id in totals
    ]


def _row(source: Source, lane: Lane, totals: SourceTotals, samples: Sequence[Sample], now: float) -> Row:
    present = Sample(at=now, counts=totals.counts)
    drawn = columns(samples, present=present, created_at=source.created_at, span=HOUR)
    return Row(
        source=source,
        status=conditions.overall(source, lane),
        worst=conditions.worse(conditions.fetch_state(source), conditions.delivery_state(source, lane)),
        lag_s=lag_s(totals, now),
        counts=totals.counts,
        per_minute=drawn.sent,
        rate=rate_per_minute(samples, present=present, created_at=source.created_at),
    )
