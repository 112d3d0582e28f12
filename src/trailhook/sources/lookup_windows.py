"""Which stretches of time to ask LookupEvents for, and when. Pure.

Events turn up late, so every moment is looked at several times: at once, and again when it is older. Each look is a
chain of windows with a watermark of its own, so that a look passes over every moment exactly once. (Going back half
an hour at every poll would read a busy account thirty times at a poll a minute; its budget allows for a few.)
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from trailhook.model import Value, Watermark
from trailhook.settings import DAY_S

WINDOW_S = 900
"""The longest window."""
KEPT_S = int(90 * DAY_S) - 600
"""CloudTrail keeps 90 days, and refuses what is older; some minutes less, for a window waits before it is read."""
_STAMP = "%Y%m%dT%H%M%SZ"


class Look(Value, frozen=True, kw_only=True):
    """One pass over time: each moment once, when it is `delay_s` old, in windows of `step_s` at least."""

    name: str
    delay_s: int
    step_s: int


LOOKS: Mapping[str, Sequence[Look]] = {
    "management": (
        Look(name="at-once", delay_s=0, step_s=60),
        Look(name="after-5-minutes", delay_s=300, step_s=300),
        Look(name="after-15-minutes", delay_s=900, step_s=600),
        Look(name="after-35-minutes", delay_s=2_100, step_s=900),
    ),
    "insight": (
        Look(name="after-15-minutes", delay_s=900, step_s=900),
        Look(name="after-75-minutes", delay_s=4_500, step_s=900),
    ),
}
"""By category. CloudTrail has most events within 5 minutes and asks for patience of 15; Insights take up to 30 to be
found out. The delay grows by more than the step of the look before, so that a look never overtakes an earlier one."""


class Window(Value, frozen=True, kw_only=True):
    """Whole seconds since the epoch, both included: neighbours share one, for LookupEvents includes both."""

    start_at: int
    end_at: int


class Planned(Value, frozen=True, kw_only=True):
    """What one look asks for now, and how far it has come with that."""

    look: Look
    windows: Sequence[Window]
    mark_at: int


def plan(
    looks: Sequence[Look], marks: Mapping[str, Watermark], *, start_from_at: float, now: float
) -> Iterator[Planned]:
    """The windows due at `now` by look, oldest first; nothing for a look that has nothing to do.

    `marks` are the looks' watermarks by their names. What an earlier look asks for now, long after it happened
    (at first, and after an outage), need not be asked for again by the later ones.
    """
    oldest_at = int(now) - KEPT_S
    start_at = max(int(start_from_at), oldest_at)
    settled_at = int(now) - looks[-1].delay_s
    before_at: int | None = None
    for look in looks:
        mark = marks.get(look.name)
        if mark is not None and mark.start_from_at > now:
            mark = None  # it has never begun
        to_at = int(now) - look.delay_s
        from_at = start_at if mark is None else max(min(int(mark.mark_at), to_at), int(mark.start_from_at), oldest_at)
        windows: list[Window] = []
        mark_at = from_at
        if before_at is None and mark is not None:
            windows = cut(start_at, min(int(mark.start_from_at), from_at))
        if before_at is not None and before_at < settled_at:
            windows = cut(from_at, min(before_at, to_at))
            mark_at = max(settled_at, from_at)
        if following := cut(mark_at, to_at, least_s=look.step_s):
            windows += following
            mark_at = following[-1].end_at
        if mark is None or windows or mark_at != mark.mark_at:
            yield Planned(look=look, windows=windows, mark_at=mark_at)
        before_at = from_at


def cut(from_at: int, to_at: int, *, least_s: int = 1) -> list[Window]:
    """Windows from one time on to the other; what would make the last one shorter than `least_s` is left for later."""
    starts = range(from_at, to_at - least_s + 1, WINDOW_S)
    return [Window(start_at=start_at, end_at=min(start_at + WINDOW_S, to_at)) for start_at in starts]


def window_name(category: str, window: Window) -> str:
    """`management/20250615T120000Z-20250615T121500Z`."""
    return f"{category}/{_stamp(window.start_at)}-{_stamp(window.end_at)}"


def read_window_name(name: str) -> tuple[str, Window]:
    """The category and the window of a name."""
    category, _, span = name.partition("/")
    start, _, end = span.partition("-")
    return category, Window(start_at=_at(start), end_at=_at(end))


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(_STAMP)


def _at(stamp: str) -> int:
    return int(datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp())
