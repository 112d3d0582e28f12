"""The simulated account's event history follows what is written into its buckets: LookupEvents has it, too."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from trailhook.demo.lookup_events import LookupEvents

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG = re.compile(r"/CloudTrail(?P<insight>-Insight)?/.+\.json\.gz$")


class _File(msgspec.Struct):
    records: list[msgspec.Raw] = msgspec.field(name="Records")


class _Fields(msgspec.Struct):
    event_id: str = msgspec.field(name="eventID")
    event_time: str = msgspec.field(name="eventTime")
    account: str = msgspec.field(name="recipientAccountId")
    region: str = msgspec.field(name="awsRegion")
    management: bool = msgspec.field(name="managementEvent", default=True)


class Recorder:
    """Stands in front of LookupEvents and reads along as log files are put into buckets.

    Every event is there once and at once, data events are not: so it is in the real history, but for the delay.
    """

    def __init__(self, history: LookupEvents) -> None:
        self._history = history
        self._known: dict[str, None] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        log = _LOG.search(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "PUT" else None
        if log:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            for record, fields in _records(body):
                self._add(record, fields, "insight" if log["insight"] else "management")
        return self._history(environ, start_response)

    def _add(self, record: bytes, fields: _Fields, category: str) -> None:
        if fields.event_id in self._known or not fields.management:
            return
        self._known[fields.event_id] = None
        if len(self._known) > self._history.kept_max:
            del self._known[next(iter(self._known))]
        self._history.add(record, account=fields.account, region=fields.region, category=category)


def _records(body_gz: bytes) -> Iterator[tuple[bytes, _Fields]]:
    """The records of a log file that are as CloudTrail writes them; none of what is no log file."""
    try:
        raws = msgspec.json.decode(gzip.decompress(body_gz), type=_File).records
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        return
    for raw in raws:
        try:
            yield bytes(raw), msgspec.json.decode(raw, type=_Fields)
        except msgspec.ValidationError:
            continue
