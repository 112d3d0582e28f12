"""What somebody looks for in the event log, as the address of a page: pure."""

import math
from datetime import UTC, datetime
from urllib.parse import urlencode

from trailhook.api.problems import BadField, BadRequest
from trailhook.clock import rfc3339
from trailhook.model import Value
from trailhook.search import grammar
from trailhook.search.base import Asked
from trailhook.search.grammar import FIELDS, NotUnderstood, Query
from trailhook.search.log import WITHOUT_COLUMNS

PAGE = "/ui/events"
CUSTOM = "custom"
COLUMNS_MAX = 130
STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 2 * 3_600, 6 * 3_600, 86_400, 7 * 86_400)
"""How wide a column of the histogram may be."""


class Range(Value, frozen=True, kw_only=True):
    """A stretch of time up to now."""

    name: str
    title: str
    length_s: int
    step_s: int
    """How wide a column is: the stretch is made of whole ones."""


RANGES = {
    each.name: each
    for each in (
        Range(name="15m", title="15 min", length_s=900, step_s=15),
        Range(name="1h", title="1 h", length_s=3_600, step_s=60),
        Range(name="24h", title="24 h", length_s=86_400, step_s=900),
        Range(name="7d", title="7 d", length_s=7 * 86_400, step_s=2 * 3_600),
        Range(name="30d", title="30 d", length_s=30 * 86_400, step_s=6 * 3_600),
    )
}
DEFAULT = "24h"
SECONDS = len("2026-01-31T12:00:00")


class Wanted(Value, frozen=True, kw_only=True):
    """A search as a person has put it, right or wrong."""

    text: str = ""
    source_id: str = ""
    range: str = DEFAULT
    """The name of one of `RANGES`, or `CUSTOM`: then `begin` and `end` count, as they were typed."""
    begin: str = ""
    end: str = ""

    def query(self, **changes: str) -> str:
        """The same, or a little different, as the query of an address."""
        new = self.but(**changes)
        given = {"q": new.text, "source": new.source_id, "range": new.range if new.range != DEFAULT else ""}
        if new.range == CUSTOM:
            given |= {"from": new.begin, "to": new.end}
        return urlencode({name: value for name, value in given.items() if value})

    def page(self, **changes: str) -> str:
        """The address of its page."""
        query = self.query(**changes)
        return f"{PAGE}?{query}" if query else PAGE

    def with_term(self, field: str, value: str, *, negated: bool = False) -> str:
        """The address of a search that also asks for a value of a field, or for others; empty if none can say so."""
        term = term_of(field, value, negated=negated)
        if not term or term in self.text.split():
            return self.page() if term else ""
        text = f"{self.text} {term}".strip()
        return self.page(text=text) if len(text) <= grammar.CHARACTERS_MAX else ""

    def span(self, now: float) -> tuple[float, float]:
        """From when and to when; open ends are 0 and infinity. Raises `BadRequest`."""
        if chosen := RANGES.get(self.range):
            return (now - chosen.length_s) // chosen.step_s * chosen.step_s, -(-now // chosen.step_s) * chosen.step_s
        from_at = time_of("from", self.begin) if self.begin else 0.0
        to_at = time_of("to", self.end) if self.end else math.inf
        if from_at >= to_at:
            raise BadRequest(BadField(field="to", message="must be later than the beginning"))
        return from_at, to_at

    def asked(self, now: float) -> Asked:
        """What to search for. Raises `NotUnderstood` for the text, `BadRequest` for the times."""
        from_at, to_at = self.span(now)
        query = grammar.parse(self.text)
        return Asked(query=query, source_id=self.source_id or None, from_at=from_at, to_at=to_at)


def time_of(field: str, text: str) -> float:
    """A time as a form gives it, without an offset: then it is in UTC. Raises `BadRequest` naming the field."""
    try:
        found = datetime.fromisoformat(text)
        at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(BadField(field=field, message="must be a time like 2026-01-31T12:00, in UTC")) from None
    return max(0.0, at)


def term_of(field: str, value: str, *, negated: bool = False) -> str:
    """A term of the grammar that this very value of the field fits, or not; empty where there is none."""
    plain = value and not any(character in '*?,"()' or character.isspace() for character in value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    text = f"{field}:{value}" if plain else f'{field}:"{escaped}"'
    try:
        grammar.parse(text)
    except NotUnderstood:
        return ""
    return f"-{text}" if negated else text


def written(asked: Asked) -> tuple[str, str]:
    """From when and to when, as the fields of a form take it: in UTC, empty for open ends."""
    begin = rfc3339(asked.from_at)[:SECONDS] if asked.from_at else ""
    return begin, "" if math.isinf(asked.to_at) else rfc3339(asked.to_at)[:SECONDS]


def api(path: str, wanted: Wanted, asked: Asked, **more: str) -> str:
    """The address in the API that asks for the same."""
    given = {"q": wanted.text, "source": wanted.source_id}
    given["from"] = rfc3339(asked.from_at) if asked.from_at else ""
    given["to"] = "" if math.isinf(asked.to_at) else rfc3339(asked.to_at)
    return f"{path}?{urlencode({name: value for name, value in (given | more).items() if value})}"


def columns(from_at: float, to_at: float) -> int:
    """How many columns a histogram of that time has: whole steps if it can be cut into such."""
    length_s = to_at - from_at
    fitting = [step_s for step_s in STEPS_S if length_s % step_s == 0 and length_s / step_s <= COLUMNS_MAX]
    return int(length_s / fitting[0]) if fitting else COLUMNS_MAX // 2


def is_countable(query: Query) -> bool:
    """Whether its events can be counted over time without reading them."""
    return not any(term.field in WITHOUT_COLUMNS for term in query.terms)


COLUMN_FIELDS = {field: column for field, column in FIELDS.items() if column not in ("readOnly", "eventId")}
"""The fields of the grammar that have a column."""

EXAMPLES = (
    ("eventName:ConsoleLogin", "sign-ins to the console"),
    ("errorCode:* -eventName:Get*", "calls that failed, but for reading ones"),
    ("eventName:PutObject,DeleteObject", "either one of several"),
    ("-readOnly:true eventSource:iam.amazonaws.com", "what changed in IAM"),
    ('user:"arn:aws:iam::111122223333:user/alice"', "exactly this user; user:*alice* has it anywhere"),
    ("ip:203.0.113.0/24", "from a network, or -ip: from elsewhere"),
    ("account:111122223333 region:eu-central-1", "all terms must hold"),
    ('"mfaAuthenticated\\":\\"false"', "any text of the record, as CloudTrail wrote it"),
)
"""Queries to begin with."""
