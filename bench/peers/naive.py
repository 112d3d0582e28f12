"""The forwarder that one writes on a first afternoon: boto3, json, requests, a POST for each file.

`python -m bench.peers.naive S3_URL WEBHOOK_URL`. It keeps nothing, signs nothing and forgets everything when it ends.
"""

import gzip
import json
import sys

import boto3
import requests

from bench.peers.posting import post
from bench.s3_pages import BUCKET


def main(endpoint: str, webhook: str) -> None:
    """Forward the bucket once, then wait for the end of the input."""
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    session = requests.Session()
    seen: set[str] = set()
    print("started", flush=True)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="AWSLogs/"):
        for item in page.get("Contents", ()):
            body = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
            fresh = [each for each in json.loads(gzip.decompress(body))["Records"] if each["eventID"] not in seen]
            seen.update(each["eventID"] for each in fresh)
            if fresh:
                post(session, webhook, "naive", fresh)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
