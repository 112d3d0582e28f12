"""A source that is told by a queue: which URLs name one, and which ways in follow from it."""

import pytest

from support.asgi import Client
from support.bodies import source_body

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/trail"


@pytest.mark.parametrize(
    "url",
    [
        QUEUE,
        "https://sqs.us-east-1.amazonaws.com/123456789012/trail.fifo",
        "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/trail",
        "https://vpce-1a2b.sqs.us-east-1.vpce.amazonaws.com/123456789012/trail",
    ],
)
async def test_a_queue_is_polled_before_its_bucket(api: Client, url: str) -> None:
    source = await api.post("/add-source", source_body(sqsQueueUrl=url))
    assert (source["sqsQueueUrl"], source["intake"]) == (url, ["sqs", "s3"])


async def test_a_queue_alone_is_enough(api: Client) -> None:
    body = source_body(sqsQueueUrl=QUEUE)
    del body["s3Bucket"], body["s3Prefix"]
    assert (await api.post("/add-source", body))["intake"] == ["sqs"]


async def test_the_ways_in_go_with_the_queue_unless_they_were_named(api: Client) -> None:
    source = await api.post("/add-source", source_body())
    for url, intake in ((QUEUE, ["sqs", "s3"]), (None, ["s3"])):
        changed = await api.call("PATCH", f"/sources/{source['id']}", {"sqsQueueUrl": url})
        assert changed.json["intake"] == intake
    named = await api.post("/add-source", source_body(sqsQueueUrl=QUEUE, intake=["sqs"]))
    changed = await api.call("PATCH", f"/sources/{named['id']}", {"s3Prefix": None})
    assert changed.json["intake"] == ["sqs"]


async def test_the_way_in_sqs_needs_a_queue(api: Client) -> None:
    reply = await api.call("POST", "/add-source", source_body(intake=["sqs"]))
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["sqsQueueUrl"]
