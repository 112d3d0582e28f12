"""What a key in a CloudTrail bucket is, and where in CloudTrail's layout a directory lies.

The layout is `[prefix/]AWSLogs/[O-ID/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/FILE`, with siblings of `CloudTrail`
(`CloudTrail-Insight`, `CloudTrail-Digest`, and more to come). Keys are recognised by one full pattern each, an
allow-list: what is not known to be a log is never opened, only counted.

The account and region in a file's name are not compared with those of its folders: to read one file too many
costs nothing, to pass one over loses events.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum

from trailhook.model import Value

DIGEST = "digest"
FOLDER = "folder"
UNKNOWN = "unknown"

_ABOVE = r"(?:.*/)?AWSLogs/"
_ORGANIZATION = r"(?:(?P<organization>o-[a-z0-9]{10,32})/)?"
_ACCOUNT = r"[0-9]{12}"
_REGION = r"[a-z]{2,}(?:-[a-z0-9]+)+"
_TRAIL = r"CloudTrail(?:-[A-Za-z0-9]+)*"
_FOLDERS = rf"{_ABOVE}{_ORGANIZATION}(?P<account>{_ACCOUNT})/"
_DATE = r"[0-9]{4}/[0-9]{2}/[0-9]{2}/"

_LOG = re.compile(
    rf"{_FOLDERS}(?P<trail>CloudTrail|CloudTrail-Insight)/(?P<region>{_REGION})/{_DATE}"
    rf"{_ACCOUNT}_(?P=trail)_{_REGION}_(?P<label>[0-9]{{8}}T[0-9]{{4}})Z_[A-Za-z0-9]{{16}}\.json\.gz",
    re.DOTALL,
)
_DIGEST = re.compile(
    rf"{_FOLDERS}CloudTrail-Digest/(?P<region>{_REGION})/{_DATE}"
    rf"{_ACCOUNT}_CloudTrail-Digest_{_REGION}_(?P<name>[^/]+)_(?P<label>[0-9]{{8}}T[0-9]{{4}})(?P<second>[0-9]{{2}})Z"
    r"(?P<backfill>_backfill)?\.json\.gz",
    re.DOTALL,
)
_INSIDE_ACCOUNT = re.compile(
    rf"(?P<account_directory>{_ABOVE}(?:o-[a-z0-9]{{10,32}}/)?(?P<account>{_ACCOUNT})/)"
    rf"(?:(?P<trail>{_TRAIL})/(?:(?P<region>{_REGION})/)?)?",
    re.DOTALL,
)
_IN_REGION = re.compile(rf"(?P<root>{_FOLDERS}(?P<trail>{_TRAIL})/(?P<region>[^/]+)/)", re.DOTALL)
_BRANCH = re.compile(rf"{_ABOVE}{_ORGANIZATION}(?:{_ACCOUNT}/(?:(?P<trail>{_TRAIL})/)?)?", re.DOTALL)
_INSIDE = re.compile(rf"{_ABOVE}.*", re.DOTALL)
_LOG_TRAILS = (None, "CloudTrail", "CloudTrail-Insight")


class LogKey(Value, frozen=True, kw_only=True):
    """The key of a log file. `labelled_at` is the UTC minute in its name: not its arrival."""

    account: str
    region: str
    labelled_at: float
    insight: bool = False
    organization: str | None = None


class DigestKey(Value, frozen=True, kw_only=True):
    """The key of a digest. `labelled_at` is the end of the hour that it tells of, to the second."""

    key: str
    trail: str
    """The name of the trail and its home region, as the key has them: each trail has a chain of its own."""
    labelled_at: float
    backfill: bool = False
    """It was written later, for log files of that hour that its digest does not list; it is no part of the chain."""


class Inside(Value, frozen=True, kw_only=True):
    """An account's directory, and how much further into one of its trails' directories a prefix goes."""

    account_directory: str
    """`…AWSLogs/[O-ID/]ACCOUNT/`."""
    account: str
    trail: str | None
    region: str | None

    def directory(self, region: str = "", *, trail: str = "CloudTrail-Digest") -> str:
        """The directory of the account's digests (or of its logs), whole or of one region."""
        return f"{self.account_directory}{trail}/{region}{'/' if region else ''}"


class Ignored(Value, frozen=True, kw_only=True):
    """The key of something else: `kind` is `digest`, `folder` or `unknown`."""

    kind: str
    labelled_at: float = 0.0


class Level(StrEnum):
    """Where a directory lies in the layout."""

    ABOVE = "above"
    """Not inside an `AWSLogs/` yet: anybody's directory."""
    BRANCH = "branch"
    """Log files can only be deeper: `AWSLogs/` down to `CloudTrail/`."""
    REGION = "region"
    """A region's directory, or one inside it: its keys are in the order of their dates."""
    FOREIGN = "foreign"
    """Inside `AWSLogs/` and not CloudTrail's: another service's logs."""


class Directory(Value, frozen=True, kw_only=True):
    """A directory and its place. `root` is the region's directory it is or lies in, at level REGION."""

    level: Level
    logs: bool = True
    """False for siblings that hold no logs, such as `CloudTrail-Digest/`."""
    root: str = ""


def classify(key: str) -> LogKey | Ignored:
    """What this key is. Never raises."""
    if match := _LOG.fullmatch(key):
        return _log_key(match)
    if match := _DIGEST.fullmatch(key):
        return Ignored(kind=DIGEST, labelled_at=_minute(match["label"]) or 0.0)
    return Ignored(kind=FOLDER if key.endswith("/") else UNKNOWN)


def digest_key(key: str) -> DigestKey | None:
    """What a digest's key says; None if it is no digest's."""
    match = _DIGEST.fullmatch(key)
    minute_at = _minute(match["label"]) if match else None
    if match is None or minute_at is None:
        return None
    labelled_at = minute_at + int(match["second"])
    return DigestKey(key=key, trail=match["name"], labelled_at=labelled_at, backfill=match["backfill"] is not None)


def inside_account(prefix: str) -> Inside | None:
    """Which account's directory a prefix lies in, or is; None if it lies above them, or elsewhere."""
    match = _INSIDE_ACCOUNT.match(prefix)
    return Inside(**match.groupdict()) if match else None


def locate(prefix: str) -> Directory:
    """Where a directory, or any textual prefix that reaches into a region's directory, lies."""
    if match := _IN_REGION.match(prefix):
        logs = match["trail"] in _LOG_TRAILS and re.fullmatch(_REGION, match["region"]) is not None
        return Directory(level=Level.REGION, logs=logs, root=match["root"])
    if match := _BRANCH.fullmatch(prefix):
        return Directory(level=Level.BRANCH, logs=match["trail"] in _LOG_TRAILS)
    return Directory(level=Level.FOREIGN if _INSIDE.match(prefix) else Level.ABOVE)


def region_of(directory: str) -> tuple[str, str] | None:
    """Whose logs a region's own directory holds, as (account, region); None for any other, and for Insights, which
    come when something is unusual.
    """
    match = _IN_REGION.fullmatch(directory)
    return (match["account"], match["region"]) if match and match["trail"] == "CloudTrail" else None


def day_directory(root: str, at: float) -> str:
    """The directory of the day of `at` inside a region's directory: every later key sorts behind it."""
    return root + datetime.fromtimestamp(at, UTC).strftime("%Y/%m/%d/")


def _log_key(match: re.Match[str]) -> LogKey | Ignored:
    labelled_at = _minute(match["label"])
    if labelled_at is None:
        return Ignored(kind=UNKNOWN)
    return LogKey(
        account=match["account"],
        region=match["region"],
        labelled_at=labelled_at,
        insight=match["trail"] == "CloudTrail-Insight",
        organization=match["organization"],
    )


def _minute(label: str) -> float | None:
    try:
        return datetime.fromisoformat(label + "Z").timestamp()
    except ValueError:
        return None
