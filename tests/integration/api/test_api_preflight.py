"""Trying sources out over a simulated AWS and a real receiver: before they are registered, and after."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support.asgi import Client
from support.aws import TEST_MESSAGE, SimulatedAws, s3_message
from support.bodies import SECRET_KEY, credentials, source_body
from support.parts import ADMIN, parts_on
from support.receiver import Receiver, receiving
from support.samples import log_file, log_key, record
from trailhook.api.server import create_app
from trailhook.app import Parts
from trailhook.delivery.sign import headers as signed
from trailhook.net.base import Answer, Request, Transport
from trailhook.security.tokens import Scope

READ_KEY = log_key("20250615T1200Z", "0000000000000001")


@dataclass
class Denying:
    """A transport to AWS that refuses what the test says, as S3 does."""

    inner: Transport
    denied: set[str] = field(default_factory=set)
    """`list` and `get`."""
    code: str = "AccessDenied"

    async def send(self, request: Request) -> Answer:
        what = "list" if "list-type=2" in request.url else "get"
        if what not in self.denied:
            return await self.inner.send(request)
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        return Answer(status=403, headers=[("content-type", "application/xml")], body=body)


@dataclass
class World:
    """An installation, the account it asks and the receiver it sends to."""

    api: Client
    parts: Parts
    aws: SimulatedAws
    transport: Denying
    receiver: Receiver
    bucket: str

    def body(self, **fields: Any) -> dict[str, Any]:
        places = {"s3Bucket": self.bucket, "endpointUrl": self.aws.endpoint_url, "callbackUrl": self.receiver.url}
        return source_body(**{**places, "s3Prefix": None, "startFrom": "beginning", **fields})

    async def add(self, **fields: Any) -> str:
        return str((await self.api.post("/add-source", self.body(**fields)))["id"])

    async def try_out(self, source_id: str) -> Any:
        return await self.api.post(f"/sources/{source_id}/test")

    async def registered(self) -> list[str]:
        return [each["id"] for each in (await self.api.get("/sources"))["sources"]]


@pytest.fixture
async def world(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[World]:
    """A bucket with one log; everything works."""
    async with receiving() as receiver:
        hosts: dict[str, Any] = {"allow_callback_hosts": (receiver.host,), "allow_aws_endpoints": (aws.host,)}
        async with parts_on(tmp_path, allow_http_callbacks=True, **hosts) as built:
            transport = Denying(built.aws)
            parts = replace(built, aws=transport)
            bucket = aws.new_bucket()
            aws.put(bucket, READ_KEY, log_file([record(1)]))
            yield World(Client(create_app(parts), ADMIN), parts, aws, transport, receiver, bucket)


def verdicts(report: Any) -> list[tuple[str, bool]]:
    return [(each["name"], each["ok"]) for each in report["checks"]]


# ------------------------------------------------------------------------------------------------- a source tried


async def test_a_source_that_works_passes_every_check(world: World) -> None:
    report = await world.try_out(await world.add())
    assert verdicts(report) == [("identity", True), ("list", True), ("get", True), ("callback", True)]
    assert report["ok"] is True
    assert READ_KEY in report["checks"][2]["detail"]
    assert report["policy"]["Statement"][0]["Resource"] == f"arn:aws:s3:::{world.bucket}"
    assert report["keysPolicy"] is None


async def test_the_callback_gets_a_signed_test_and_nothing_is_kept_of_it(world: World) -> None:
    source_id = await world.add()
    await world.try_out(source_id)
    (ping,) = world.receiver.taken
    source = await world.parts.store.source(source_id)
    secrets = world.parts.secrets.signing(source, world.parts.clock.now())
    assert dict(signed(ping.id, ping.wire, float(ping.headers["webhook-timestamp"]), secrets)).items() <= (
        ping.headers.items()
    )
    assert (ping.type, ping.document["data"]["sourceId"]) == ("source.test", source_id)
    assert (await world.api.get("/deliveries"))["deliveries"] == []


@pytest.mark.parametrize(
    ("denied", "action", "before"),
    [
        ("list", "s3:ListBucket", [("identity", True)]),
        ("get", "s3:GetObject", [("identity", True), ("list", True)]),
    ],
)
async def test_a_denial_names_the_action_that_is_missing(
    world: World, denied: str, action: str, before: list[tuple[str, bool]]
) -> None:
    source_id = await world.add()
    world.transport.denied = {denied}
    report = await world.try_out(source_id)
    assert verdicts(report) == [*before, (denied, False), ("callback", True)]
    assert report["ok"] is False
    failed = report["checks"][len(before)]
    assert failed["action"] == action
    assert failed["remedy"]


async def test_a_failed_check_changes_no_state(world: World) -> None:
    source_id = await world.add()
    before = await world.parts.store.source(source_id)
    world.transport.denied = {"list"}
    world.receiver.answer = lambda _: 500
    assert (await world.try_out(source_id))["ok"] is False
    assert await world.parts.store.source(source_id) == before
    assert (await world.parts.store.lane(before.lane)).failures == 0


async def test_a_prefix_with_nothing_in_it_is_told_with_where_to_look(world: World) -> None:
    report = await world.try_out(await world.add(s3Prefix="AWSLogs/999999999999/"))
    get = report["checks"][2]
    assert (get["name"], get["ok"]) == ("get", True)
    assert "s3Prefix" in get["remedy"]


async def test_a_bucket_that_is_not_there_fails(world: World) -> None:
    report = await world.try_out(await world.add(s3Bucket="no-such-bucket-anywhere"))
    assert ("list", False) in verdicts(report)
    assert "s3Bucket" in report["checks"][1]["remedy"]


async def test_a_callback_that_fails_is_told_with_its_status(world: World) -> None:
    world.receiver.answer = lambda _: 500
    report = await world.try_out(await world.add())
    assert report["ok"] is False
    assert verdicts(report)[-1] == ("callback", False)
    assert "500" in report["checks"][-1]["detail"]


async def test_a_queue_is_tried_and_keeps_its_messages(world: World) -> None:
    queue = world.aws.new_queue()
    world.aws.send(queue, TEST_MESSAGE, s3_message(world.bucket, (READ_KEY, "")), "not a notification")
    source_id = await world.add(sqsQueueUrl=queue, intake=["sqs"])
    report = await world.try_out(source_id)
    assert verdicts(report) == [("identity", True), ("queue", True), ("get", True), ("callback", True)]
    assert world.aws.queued(queue) == 3
    assert report["policy"]["Statement"][-2]["Resource"].endswith(queue.rpartition("/")[2])


async def test_a_source_that_is_not_there_cannot_be_tried(world: World) -> None:
    assert (await world.api.call("POST", "/sources/nobody/test")).status == 404


async def test_trying_takes_the_right_to_write(world: World) -> None:
    source_id = await world.add()
    token, _ = await world.parts.tokens.create("reader", [Scope.READ])
    assert (await Client(world.api.app, token).call("POST", f"/sources/{source_id}/test")).status == 403
    assert world.receiver.deliveries == []


# ------------------------------------------------------------------------------------------------- verify=true


async def test_verifying_registers_what_works(world: World) -> None:
    reply = await world.api.call("POST", "/add-source?verify=true", world.body())
    assert reply.status == 201
    assert reply.json["warnings"] == []
    assert await world.registered() == [reply.json["id"]]
    assert [each.type for each in world.receiver.taken] == ["source.test"]


async def test_verifying_warns_of_what_could_not_be_tried(world: World) -> None:
    reply = await world.api.call("POST", "/add-source?verify=true", world.body(s3Prefix="AWSLogs/999999999999/"))
    assert reply.status == 201
    assert "s3Prefix" in reply.json["warnings"][0]


@pytest.mark.parametrize(
    ("denied", "code", "status", "fields"),
    [
        ({"list"}, "AccessDenied", 200, ["s3Bucket"]),
        ({"get"}, "AccessDenied", 200, ["s3Bucket"]),
        ({"list"}, "InvalidAccessKeyId", 200, ["credentials"]),
        (set(), "", 500, ["callbackUrl"]),
        ({"list"}, "ExpiredToken", 404, ["credentials", "callbackUrl"]),
    ],
)
async def test_verifying_refuses_what_does_not_work_names_the_fields_and_registers_nothing(
    world: World, denied: set[str], code: str, status: int, fields: list[str]
) -> None:
    world.transport.denied, world.transport.code = denied, code
    world.receiver.answer = lambda _: status
    reply = await world.api.call("POST", "/add-source?verify=true", world.body())
    assert (reply.status, reply.fields) == (422, fields)
    assert await world.registered() == []
    assert SECRET_KEY.encode() not in reply.body


async def test_verifying_a_queue_that_is_not_there_names_its_field(world: World) -> None:
    queue = f"{world.aws.endpoint_url}/123456789012/no-such-queue"
    body = world.body(sqsQueueUrl=queue, intake=["sqs"])
    reply = await world.api.call("POST", "/add-source?verify=true", body)
    assert (reply.status, reply.fields) == (422, ["sqsQueueUrl"])


async def test_without_verifying_anything_well_formed_is_registered(world: World) -> None:
    world.transport.denied = {"list"}
    for target in ("/add-source", "/add-source?verify=false"):
        assert (await world.api.call("POST", target, world.body())).status == 201
    assert world.receiver.deliveries == []


async def test_a_refused_registration_may_be_sent_again_under_its_key(world: World) -> None:
    async def send() -> int:
        reply = await world.api.call(
            "POST", "/add-source?verify=true", world.body(), headers={"idempotency-key": "once"}
        )
        return reply.status

    world.receiver.answer = lambda _: 500
    assert await send() == 422
    world.receiver.answer = lambda _: 200
    assert await send() == 201
    world.receiver.answer = lambda _: 500
    assert await send() == 201  # a repeated answer is not tried out again
    assert len(await world.registered()) == 1


async def test_an_unknown_key_of_a_role_is_a_matter_of_credentials(world: World) -> None:
    world.transport.denied = {"get"}  # which is how AssumeRole goes, too
    body = world.body(credentials=credentials(roleArn="arn:aws:iam::123456789012:role/reader"))
    reply = await world.api.call("POST", "/add-source?verify=true", body)
    assert (reply.status, reply.fields) == (422, ["credentials"])
    assert "sts:AssumeRole" in reply.json["errors"][0]["message"]
