"""The simulated account's log file validation: signed digests of whatever log files are put into its buckets.

They come every minute, where CloudTrail's come every hour: who looks at a demo has no hour. All else is as it is there,
a chain for each account and region, also where nothing happened.
"""

import gzip
import hashlib
import io
import re
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trailhook.demo.digests import DigestChain, DigestFile, PublicKeys, SigningKey

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EVERY_S = 60
FOR_EVER = 4_102_444_800.0
_LOG = re.compile(
    r"/(?P<bucket>[^/]+)/(?P<key>AWSLogs/(?P<account>[0-9]{12})/CloudTrail(?:-Insight)?/(?P<region>[a-z0-9-]+)/.+\.json\.gz)"
)
_Place = tuple[str, str]
"""An account and a region."""


@dataclass(slots=True)
class _Trail:
    """What one bucket's trail has delivered and not listed yet."""

    told_to_at: float
    chains: dict[_Place, DigestChain] = field(default_factory=dict)
    delivered: defaultdict[_Place, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))


class Validation:
    """Stands in front of the buckets. Digests are written as requests come, once their minute is over."""

    def __init__(
        self, app: "WSGIApplication", keys: PublicKeys, *, places: Sequence[_Place], now: Callable[[], float]
    ) -> None:
        self._app = app
        self._keys = keys
        self._places = places
        self._now = now
        self._signers: dict[str, SigningKey] = {}
        self._trails: dict[str, _Trail] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with self._lock:
            self._write_due(environ["HTTP_HOST"])
        log = _LOG.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "PUT" else None
        if log is None:
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        answer = self._app(environ, start_response)
        try:
            sha256 = hashlib.sha256(gzip.decompress(body)).hexdigest()
        except (OSError, EOFError, zlib.error):
            return answer
        with self._lock:
            self._deliver(log["bucket"], (log["account"], log["region"]), log["key"], sha256)
        return answer

    def _deliver(self, bucket: str, place: _Place, key: str, sha256: str) -> None:
        if bucket not in self._trails:
            self._trails[bucket] = _Trail(self._now() // EVERY_S * EVERY_S)
            for each in self._places:
                self._begin(bucket, each)
        if place not in self._trails[bucket].chains:
            self._begin(bucket, place)
        self._trails[bucket].delivered[place][key] = sha256

    def _begin(self, bucket: str, place: _Place) -> None:
        account, region = place
        if region not in self._signers:
            self._signers[region] = SigningKey()
            self._keys.add(region, self._signers[region], from_at=0.0, to_at=FOR_EVER)
        self._trails[bucket].chains[place] = DigestChain(bucket, account, region, self._signers[region])

    def _write_due(self, host: str) -> None:
        to_at = self._now() // EVERY_S * EVERY_S
        for bucket, trail in self._trails.items():
            if to_at > trail.told_to_at:
                for place, chain in trail.chains.items():
                    listed = trail.delivered.pop(place, {})
                    self._put(host, bucket, chain.write(listed, trail.told_to_at, to_at))
                trail.told_to_at = to_at

    def _put(self, host: str, bucket: str, file: DigestFile) -> None:
        from werkzeug.test import create_environ, run_wsgi_app  # noqa: PLC0415 - only the child process has it

        headers = {f"x-amz-meta-{name}": value for name, value in file.metadata.items()}
        environ = create_environ(
            f"/{bucket}/{file.key}", f"http://{host}", method="PUT", data=file.body_gz, headers=headers
        )
        _, status, _ = run_wsgi_app(self._app, environ, buffered=True)
        if not status.startswith("200"):
            raise RuntimeError(f"a digest was not taken: {status}")
