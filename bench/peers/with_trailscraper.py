"""TrailScraper's own download and reading of a bucket, with a POST for every 500 records put behind it.

`python -m bench.peers.with_trailscraper S3_URL WEBHOOK_URL`, in the environment that `make bench-peers` makes. It posts
nothing by itself, so that is added; like the naive one it signs nothing, and what it has downloaded is all that it
remembers.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import islice

import requests
from trailscraper.record_sources.local_directory_record_source import LocalDirectoryRecordSource
from trailscraper.s3_download import download_cloudtrail_logs

from bench.peers.posting import post
from bench.s3_pages import BUCKET

ACCOUNT, REGION = "111122223333", "us-east-1"
EVENTS = 500
PARALLEL = 10
"""TrailScraper's default."""


def main(endpoint: str, webhook: str) -> None:
    """Forward the days around now once, then wait for the end of the input."""
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", AWS_DEFAULT_REGION=REGION
    )
    now = datetime.now(UTC)
    days = now - timedelta(days=2), now
    session = requests.Session()
    print("started", flush=True)
    with tempfile.TemporaryDirectory() as place:
        download_cloudtrail_logs(place, BUCKET, "", [], [ACCOUNT], [REGION], *days, PARALLEL)
        records = LocalDirectoryRecordSource(place).load_from_dir(*days)
        while batch := [record.raw_source for record in islice(records, EVENTS)]:
            post(session, webhook, "trailscraper", batch)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
