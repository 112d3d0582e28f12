"""A simulated AWS account on loopback (moto), and what it takes to ask it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import boto3
from botocore.config import Config
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from trailhook.model import Credentials, Source
from trailhook.settings import Settings
from trailhook.sources.base import Access

_ACCOUNT = "123456789012"  # the one that moto takes unknown keys for
CREDENTIALS = Credentials(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="a-secret-of-no-account")


class SimulatedAws:
    """One simulated account; buckets are the tests' own."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.host = endpoint_url.removeprefix("http://")
        self.settings = Settings(allow_aws_endpoints=(self.host,))
        """With these, `Guard.for_aws` lets the endpoint through."""
        self.s3 = self.client("s3", config=Config(s3={"addressing_style": "path"}))
        self.sqs = self.client("sqs")

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of the simulated account."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS.access_key_id,
            aws_secret_access_key=CREDENTIALS.secret_access_key,
            **options,
        )

    def new_bucket(self) -> str:
        """An empty bucket that no other test has."""
        bucket = f"trail-{uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=bucket)
        return bucket

    def new_queue(self) -> str:
        """The URL of an empty queue that no other test has."""
        return str(self.sqs.create_queue(QueueName=f"trail-{uuid4().hex[:12]}")["QueueUrl"])

    def send(self, queue_url: str, *bodies: str) -> None:
        """Put messages into a queue."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=queue_url, MessageBody=body)

    def queued(self, queue_url: str) -> int:
        """How many messages a queue holds, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def create_bucket(self, bucket: str) -> bool:
        """Make sure of a bucket; whether it is new."""
        present = {each["Name"] for each in self.s3.list_buckets()["Buckets"]}
        if bucket not in present:
            self.s3.create_bucket(Bucket=bucket)
        return bucket not in present

    def put(self, bucket: str, key: str, body: bytes = b"") -> str:
        """Write an object and return its ETag without quotes."""
        return str(self.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]).strip('"')

    def put_many(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Write many objects at once, past HTTP."""
        backend = s3_backends[_ACCOUNT]["aws"]
        for key, body in objects.items():
            backend.put_object(bucket, key, body)

    def delete(self, bucket: str, key: str) -> None:
        self.s3.delete_object(Bucket=bucket, Key=key)


@contextmanager
def simulated_aws() -> Iterator[SimulatedAws]:
    """moto's server on a free port, for a session-scoped fixture."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = SimulatedAws(f"http://{host}:{port}")
    try:
        yield aws
    finally:
        aws.s3.close()
        aws.sqs.close()
        server.stop()
        if server._server is not None:
            server._server.server_close()


def access(bucket: str, *, credentials: Credentials = CREDENTIALS, **fields: Any) -> Access:
    """What it takes to poll a bucket; `fields` are those of `Source`."""
    source = Source(
        id="7d9f3c1e-0000-4000-8000-000000000001",
        name="test",
        created_at=0.0,
        intakes=("s3",),
        region="us-east-1",
        bucket=bucket,
        callback_url="https://example.com/hook",
        lane="lane",
    )
    return Access(source=source.but(**fields), credentials=credentials)


def log_key(
    label: str,
    unique: str | int = 0,
    *,
    account: str = "123456789012",
    region: str = "us-east-1",
    trail: str = "CloudTrail",
    prefix: str = "",
    organization: str = "",
) -> str:
    """A log file's key: `label` is `YYYYMMDDTHHMM`, `unique` is padded to 16 characters."""
    folder = f"{prefix}AWSLogs/{organization}{account}/{trail}/{region}/{label[:4]}/{label[4:6]}/{label[6:8]}"
    return f"{folder}/{account}_{trail}_{region}_{label}Z_{unique!s:0>16}.json.gz"


# --------------------------------------------------------------------------------------------------- notifications


def s3_message(bucket: str, *objects: tuple[str, str], event: str = "ObjectCreated:Put", **more: Any) -> str:
    """S3's own message about these (key, ETag); keys are written as S3 writes them."""
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": event,
            "awsRegion": "us-east-1",
            "eventTime": "2025-06-15T12:01:00.000Z",
            "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": 7, "eTag": etag}},
            **more,
        }
        for key, etag in objects
    ]
    return json.dumps({"Records": records})


def sns_message(message: str) -> str:
    """What SNS makes of a message that it does not deliver raw."""
    return json.dumps({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:::t", "Message": message})


def event_bridge_message(bucket: str, key: str, etag: str, *, kind: str = "Object Created") -> str:
    """What EventBridge says of an object."""
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 7, "etag": etag}}
    event = {"source": "aws.s3", "detail-type": kind, "region": "us-east-1", "time": "2025-06-15T12:01:00Z"}
    return json.dumps({**event, "detail": detail})


def cloudtrail_message(bucket: str, *keys: str) -> str:
    """What CloudTrail itself publishes about its files."""
    return json.dumps({"s3Bucket": bucket, "s3ObjectKey": list(keys)})


TEST_MESSAGE = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "r"})
VALIDATION_MESSAGE = "CloudTrail validation message."
