"""Whether an account and region has fallen silent: told from when its log files came, by their labels. Pure.

A place is silent when its newest file is older than `silence_after_s` and than twice the longest pause that it has made
in the reconcile window (30 days). Of a place with over a hundred files there the very longest does not count: one
outage must not make it patient. Places that were not heard for a whole day, from first to last, are not judged; nor,
while others still write, those that have been silent for a month: they are not in use any more.
"""

from collections.abc import Iterable, Sequence

from trailhook.clock import rfc3339
from trailhook.cloudtrail.keys import region_of
from trailhook.model import Condition, Rhythm, Silence, Source, Value, Watermark

ACTIVE, SILENT, STALLED = "active", "silent", "stalled"
KNOWN_AFTER_S = 86_400.0
UNUSED_AFTER_S = 30 * 86_400.0
STEADY_FILES = 100
PATIENCE = 2.0
PLACES_MAX = 200
"""How many silent places are remembered by name."""
_NAMED = 5
PATIENT_POLLS, STALLED_S_LEAST, FIRST_POLL_S = 3, 900.0, 3_600.0
"""A first look may list a whole bucket: it is given as long as a job may take."""


class Heard(Value, frozen=True, kw_only=True):
    """One account and region, and when its files came."""

    account: str
    region: str
    bucket: str
    rhythm: Rhythm

    @property
    def name(self) -> str:
        return f"{self.account} {self.region}"


def continued(rhythm: Rhythm, labels: Iterable[float]) -> Rhythm:
    """`rhythm` with the labels of more files. One that is not later than all before changes nothing."""
    for at in sorted(labels):
        if at <= rhythm.last_at:
            continue
        longest, second = rhythm.pauses_s
        if rhythm.files:
            longest, second, _ = sorted((longest, second, at - rhythm.last_at), reverse=True)
        rhythm = rhythm.but(
            files=rhythm.files + 1,
            first_at=rhythm.first_at if rhythm.files else at,
            last_at=at,
            pauses_s=(longest, second),
        )
    return rhythm


def heard(source: Source, marks: Iterable[Watermark]) -> Sequence[Heard]:
    """The accounts and regions that a source's watermarks tell of, each once: several ways in may have heard it. Marks
    of a bucket or prefix that it had before do not count.
    """
    places: dict[tuple[str, str], Heard] = {}
    for mark in sorted(marks, key=lambda mark: mark.rhythm.files, reverse=True):
        where = region_of(mark.prefix)
        elsewhere = source.bucket not in (None, mark.place) or not mark.prefix.startswith(source.prefix)
        if where is None or elsewhere or not mark.rhythm.files:
            continue
        account, region = where
        known = places.setdefault(where, Heard(account=account, region=region, bucket=mark.place, rhythm=mark.rhythm))
        places[where] = known.but(rhythm=continued(known.rhythm, [mark.rhythm.last_at]))
    return [places[where] for where in sorted(places)]


def patience_s(rhythm: Rhythm, silence_after_s: float) -> float | None:
    """After how long without a file such a place is silent; None where it is not known well enough."""
    if rhythm.last_at - rhythm.first_at < KNOWN_AFTER_S:
        return None
    usual_s = rhythm.pauses_s[1] if rhythm.files > STEADY_FILES else rhythm.pauses_s[0]
    return max(silence_after_s, PATIENCE * usual_s)


def is_silent(rhythm: Rhythm, now: float, silence_after_s: float) -> bool:
    """Whether it should have written by now."""
    limit_s = patience_s(rhythm, silence_after_s)
    return limit_s is not None and now - rhythm.last_at > limit_s


def silent(places: Sequence[Heard], now: float, silence_after_s: float) -> Sequence[Heard]:
    """Those that are silent, without those that are not in use any more."""
    found = [each for each in places if is_silent(each.rhythm, now, silence_after_s)]
    if len(found) == len(places):
        return found
    return [each for each in found if now - each.rhythm.last_at <= UNUSED_AFTER_S]


def is_stalled(source: Source, now: float, watched_since_at: float) -> bool:
    """Whether a look for logs is overdue beyond all patience, though nothing is known to be wrong. How late it was when
    the watch began is not counted: whoever was not there has only just begun, too.
    """
    if not _looks(source):
        return False
    least_s = FIRST_POLL_S if source.last_fetch_at is None else STALLED_S_LEAST
    return now - max(source.next_fetch_at, watched_since_at) > max(PATIENT_POLLS * source.interval_s, least_s)


def judge(
    source: Source, places: Sequence[Heard], now: float, silence_after_s: float, *, watched_since_at: float = 0.0
) -> Silence:
    """How silent a source is. While we ourselves have not just looked, nobody else is said to have stopped."""
    before = source.silence
    if is_stalled(source, now, watched_since_at):
        return before.but(condition=_since(before.condition, _stalled(source)))
    fresh_s = max(PATIENT_POLLS * source.interval_s, STALLED_S_LEAST)
    if not _looks(source) or source.last_fetch_at is None or now - source.last_fetch_at > fresh_s:
        return before
    quiet = silent(places, now, silence_after_s)
    if not quiet:
        return Silence() if before.condition.state != ACTIVE or before.places else before
    names = tuple(each.name for each in quiet[:PLACES_MAX])
    return explained(before.but(places=names, count=len(quiet)), quiet, len(places))


def explained(silence: Silence, quiet: Sequence[Heard], known: int) -> Silence:
    """The same with its condition in words, what AWS said included."""
    since_at = min(each.rhythm.last_at for each in quiet)
    named = "; ".join(f"{each.name} since {rfc3339(each.rhythm.last_at)}" for each in quiet[:_NAMED])
    more = f"; and {len(quiet) - _NAMED} more" if len(quiet) > _NAMED else ""
    what = f"No new log files from {len(quiet)} of {known} accounts and regions: {named}{more}."
    condition = Condition(
        state=SILENT,
        reason=f"{what} {silence.cause}".strip(),
        remedy=silence.remedy
        or "Look at the trail in the CloudTrail console: is it on, and may it write to its bucket?",
        since_at=since_at,
    )
    return silence.but(condition=_since(silence.condition, condition))


def _looks(source: Source) -> bool:
    """Whether logs are looked for, and nothing is known to be wrong with that."""
    return source.paused_at is None and source.fetch.state == ACTIVE and not source.failures


def _stalled(source: Source) -> Condition:
    return Condition(
        state=STALLED,
        reason=f"Trailhook itself has not finished a look for logs that was due at {rfc3339(source.next_fetch_at)}.",
        remedy="See whether a worker is running and not overloaded; `trailhook doctor` looks at every part.",
        since_at=source.next_fetch_at,
    )


def _since(before: Condition, after: Condition) -> Condition:
    """`after`; a state that goes on is as old as it was."""
    return after.but(since_at=before.since_at) if before.state == after.state else after
