"""What a trail's digests say of a stretch of time: told of by one, by none, or by one that proves nothing. Pure."""

from trailhook.cloudtrail.digests import Digest, check_link
from trailhook.cloudtrail.keys import DigestKey
from trailhook.errors import Invalid
from trailhook.model import Value

HOUR_S = 3_600.0
"""What one digest tells of."""


class Span(Value, frozen=True, kw_only=True):
    """A stretch of time. With a `digest` it is told of; without one `reason` and `detail` say why not."""

    start_at: float
    end_at: float
    key: str = ""
    """Of the digest, also of one that proves nothing; empty where there is none."""
    digest: Digest | None = None
    reason: str = ""
    detail: str = ""


class Chain:
    """Takes the digests of one trail in the order of their labels, from the last before `from_at` on, and tells of
    [from_at, to_at). A digest's hour is told of whole, if it begins in there, or ends in there and `begins` is set.
    """

    def __init__(self, from_at: float, to_at: float, *, begins: bool) -> None:
        self._from_at = from_at
        self._to_at = to_at
        self._begins = begins
        self._told_to_at = from_at
        self._before: Digest | None = None
        self.done = False
        """Set once a digest lies behind all of it: what follows need not be read."""

    def take(self, key: DigestKey, read: Digest | Invalid) -> list[Span]:
        """The spans that end with this digest."""
        if isinstance(read, Invalid):
            self._before = None
            start_at = min(key.labelled_at, max(self._told_to_at, key.labelled_at - HOUR_S))
            return self._tell(None, _refused(key, read, start_at))
        span = Span(start_at=read.start_at, end_at=read.end_at, key=key.key, digest=read)
        try:
            if self._before is not None:
                check_link(self._before, read)
        except Invalid as error:
            span = _refused(key, error, read.start_at).but(end_at=read.end_at)
        spans = self._tell(read, span)
        self._before = read
        return spans

    def end(self) -> list[Span]:
        """What is left at the end, where no digest follows."""
        if self.done or self._told_to_at >= self._to_at:
            return []
        return [Span(start_at=self._told_to_at, end_at=self._to_at, reason="none", detail=_NONE)]

    def _tell(self, read: Digest | None, span: Span) -> list[Span]:
        if span.end_at <= self._from_at:
            return []
        self.done = span.start_at >= self._to_at
        gap_to_at = min(span.start_at, self._to_at)
        spans = []
        if gap_to_at > self._told_to_at:
            reason, detail = self._why_nothing(read)
            spans.append(Span(start_at=self._told_to_at, end_at=gap_to_at, reason=reason, detail=detail))
        if not self.done and (self._begins or span.start_at >= self._from_at):
            spans.append(span)
        self._told_to_at = max(self._told_to_at, span.end_at)
        return spans

    def _why_nothing(self, after: Digest | None) -> tuple[str, str]:
        """Why there is no digest before `after`, by its own words."""
        if after is None:
            return "none", "There is no digest."
        if after.previous is None:
            return (
                "began",
                "CloudTrail began a new chain of digests after it: validation was off, or the trail stopped.",
            )
        if after.previous.bucket != after.bucket:
            return "other_bucket", "The digest before lies in another bucket, to which the trail wrote then."
        if self._before is not None and after.previous.key == self._before.key:
            return "gap", "The digests on both sides follow one another, but their hours do not."
        return "gone", f"The digest that the next one follows is not there any more: {after.previous.key}"


def lone(key: DigestKey, read: Digest | Invalid) -> Span:
    """What a digest says that is no part of a chain."""
    if isinstance(read, Invalid):
        return _refused(key, read, key.labelled_at - HOUR_S)
    return Span(start_at=read.start_at, end_at=read.end_at, key=key.key, digest=read)


_NONE = "There is no digest, and none follows. CloudTrail writes one within about an hour after the hour it tells of."


def _refused(key: DigestKey, error: Invalid, start_at: float) -> Span:
    detail = f"The digest proves nothing: {error}."
    return Span(start_at=start_at, end_at=key.labelled_at, key=key.key, reason=error.reason, detail=detail)
