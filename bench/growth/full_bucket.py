"""A bucket with any number of keys and nothing much behind them: `python -m bench.growth.full_bucket KEYS`.

A year of log files in four regions, evenly, up to now. Each has the same single record. `/-/counts` tells how often was
listed and fetched.
"""

import gzip
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from bench.corpus import DAY_S, account
from bench.http_server import answered, answered_json, serve
from bench.s3_pages import Tag, find, page
from trailhook.demo import events

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2")
SPAN_S = 365 * DAY_S
ETAG = "d41d8cd98f00b204e9800998ecf8427e"


class FullBucket:
    """The keys, and how often it was asked."""

    def __init__(self, keys: int) -> None:
        now = int(time.time())
        record = events.api_call(random.Random(0), account=account(0), region=REGIONS[0], at=now)
        self._body = gzip.compress(b'{"Records":[' + record + b"]}")
        self._keys = sorted(_key(number, now - SPAN_S + SPAN_S * number // keys) for number in range(keys))
        self._counts: Counter[str] = Counter()

    def answer(self, path: str, _head: bytes, _body: bytes) -> bytes:
        if path == "/-/counts":
            return answered_json(self._counts)
        where = urlsplit(path)
        if not where.query:
            self._counts["gets"] += 1
            return answered(self._body, "application/octet-stream", f'etag: "{ETAG}"\r\n')
        self._counts["lists"] += 1
        query = parse_qs(where.query)
        return answered(page(find(self._keys, query), query.get("prefix", [""])[0], self._tag), "application/xml")

    def _tag(self, _: str) -> Tag:
        return ETAG, len(self._body)


def _key(number: int, at: int) -> str:
    moment, region = datetime.fromtimestamp(at, UTC), REGIONS[number % len(REGIONS)]
    name = f"{account(0)}_CloudTrail_{region}_{moment:%Y%m%dT%H%MZ}_{number:016d}.json.gz"
    return f"AWSLogs/{account(0)}/CloudTrail/{region}/{moment:%Y/%m/%d}/{name}"


if __name__ == "__main__":
    serve(FullBucket(int(sys.argv[1])).answer)
