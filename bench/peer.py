"""The forwarder that one writes on a first afternoon: boto3, json, requests, a POST for each file.

`python -m bench.peer S3_URL WEBHOOK_URL`. It keeps nothing, signs nothing and forgets everything when it ends; the only
thing it shares with Trailhook is what comes out.
"""

import gzip
import json
import sys
import threading

import boto3
import requests

from bench.s3_stub import BUCKET
from trailhook.demo.children import end_with_parent


def main(endpoint: str, webhook: str) -> None:
    """Forward the bucket once, then wait to be ended."""
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
                data = {"sourceId": "naive", "count": len(fresh), "events": fresh}
                text = json.dumps(
                    {"type": "cloudtrail.events", "data": data}, ensure_ascii=False, separators=(",", ":")
                )
                session.post(webhook, text.encode(), timeout=30).raise_for_status()
    threading.Event().wait()


if __name__ == "__main__":
    end_with_parent()
    main(*sys.argv[1:])
