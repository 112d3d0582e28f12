"""What the API refuses: it names the field, says why, and never repeats what was sent."""

import json
from typing import Any

import pytest

from support.asgi import Client, Reply
from support.bodies import credentials, source_body
from support.parts import parts_on
from trailhook.api.server import create_app
from trailhook.app import Parts

CANARY = "canary"


def check(reply: Reply, *fields: str) -> None:
    """A problem document that names exactly these fields and echoes no canary."""
    assert reply.status == 422, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert set(reply.json) == {"type", "title", "status", "detail", "errors"}
    assert reply.json["status"] == 422
    assert sorted(set(reply.fields)) == sorted(fields), reply.json
    assert all(each["message"] for each in reply.json["errors"])
    assert CANARY.encode() not in reply.body.lower()


NOT_BUCKETS = ["", "ab", "Canary-bucket", "canary_bucket", "-canary", "canary-", "canary..x", "10.0.0.1", "c" * 64]
NOT_HEADERS: list[Any] = [
    {"bad name": "canary"},
    {"canary\n": "x"},
    {"": "canary"},
    {"X-Canary": "line\nbreak canary"},
    {"X-Canary": ""},
    {"X-Canary": " canary"},
    {"X-Canary": "canaryé"},
    {"X-Canary": 7},
    {"X-Canary": "1", "x-canary": "2"},
    {"X-Canary": "c" * 4_097},
    {"c" * 65: "canary"},
    {f"X-Canary-{number}": "x" for number in range(21)},
    *({name: "canary"} for name in ("Content-Type", "content-canary", "HOST", "Webhook-Id", "webhook-canary")),
    *({name: "canary"} for name in ("X-Trailhook-Canary", "User-Agent", "Transfer-Encoding", "Connection")),
    ["canary"],
    "canary",
]
NOT_PATTERNS: list[Any] = [
    "canary",
    {"canary": "x"},
    {"canary": []},
    {"canary": [7]},
    {"canary": [""]},
    {"canary": ["c" * 513]},
    {"canary": ["x"] * 201},
    {"canary canary": ["x"]},
    {f"canary{number}": ["x"] for number in range(51)},
]
BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    *(("sourceType", {"sourceType": value}) for value in (None, "canary", 7, ["aws_cloudtrail"])),
    *(("name", {"name": value}) for value in ("", "  ", "canary\x00", "canary" * 40, 7)),
    *(("credentials", {"credentials": value}) for value in (None, "canary", ["canary"])),
    *(
        ("credentials.region", {"credentials": credentials(region=value)})
        for value in (None, "canary", "us-east-1.canary.example", "US-EAST-1", "us-east-1\n", "")
    ),
    *(
        ("credentials.accessKeyId", {"credentials": credentials(accessKeyId=value)})
        for value in (None, "canary", "AKIACANARY CANARY1", "****MPLE", "C" * 129)
    ),
    *(
        ("credentials.secretAccessKey", {"credentials": credentials(secretAccessKey=value)})
        for value in (None, "canary", "canary canary canary", "canary\ncanary", "é" * 40, "c" * 257, 7)
    ),
    *(
        ("credentials.sessionToken", {"credentials": credentials(sessionToken=value)})
        for value in ("canary", "canary canary canary", "c" * 8_193)
    ),
    ("credentials.sessionToken", {"credentials": credentials(accessKeyId="ASIACANARYCANARY0001")}),
    ("credentials.sessionToken", {"credentials": {"region": "us-east-1", "sessionToken": "canary-canary-canary"}}),
    *(
        ("credentials.roleArn", {"credentials": credentials(roleArn=value)})
        for value in ("canary", "arn:aws:iam::12345:role/canary", "arn:aws:iam::123456789012:user/canary")
    ),
    ("credentials.externalId", {"credentials": credentials(externalId="canary")}),
    ("credentials.extra", {"credentials": credentials(extra="canary")}),
    *(("s3Bucket", {"s3Bucket": value}) for value in NOT_BUCKETS),
    *(("s3Prefix", {"s3Prefix": value}) for value in ("canary\n", "é" * 513, "\x7f", 7)),
    *(("logFetchInterval", {"logFetchInterval": value}) for value in (0, -1, 86_401, 1.5, True, "300", 300.0)),
    *(
        ("callbackUrl", {"callbackUrl": value})
        for value in (
            None,
            "canary",
            "http://canary.example/",
            "ftp://canary.example/",
            "https://user:canary@example.com/",
            "https://127.0.0.1/canary",
            "https://169.254.169.254/canary",
            "https://[::1]/canary",
            "https://10.0.0.1/canary",
            "https://0x7f.1/canary",
            "https://example.com/#canary",
            "https://example.com/" + "c" * 2_048,
            7,
        )
    ),
    *(("endpointUrl", {"endpointUrl": value}) for value in ("https://canary.example", "http://s3.amazonaws.com", "x")),
    *(
        ("sqsQueueUrl", {"sqsQueueUrl": value})
        for value in (
            "canary",
            "https://canary.example/q",
            "file:///canary",
            "https://canary.example/123456789012/q",
            "https://sqs.us-east-1.canary.example/123456789012/q",
            "http://sqs.us-east-1.amazonaws.com/123456789012/canary",
            "https://s3.us-east-1.amazonaws.com/123456789012/canary",
            "https://sqs.us-east-1.amazonaws.com/canary",
        )
    ),
    *(
        ("caCertificate", {"caCertificate": value})
        for value in ("canary", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n", "")
    ),
    *(
        ("startFrom", {"startFrom": value})
        for value in ("canary", "yesterday", "2025-01-01", "2025-01-01T00:00:00", "2025-13-01T00:00:00Z", 0)
    ),
    *(("regions.0", {"regions": [value]}) for value in ("canary", 7)),
    ("regions", {"regions": "canary"}),
    *(("intake.0", {"intake": [value]}) for value in ("canary", 7)),
    ("intake", {"intake": []}),
    *(("filter.include", {"filter": {"include": value}}) for value in NOT_PATTERNS),
    ("filter.exclude", {"filter": {"exclude": {"$canary": ["x"]}}}),
    ("filter.exlude", {"filter": {"exlude": {}}}),
    *(("delivery.headers", {"delivery": {"headers": value}}) for value in NOT_HEADERS),
    *(("delivery.maxEvents", {"delivery": {"maxEvents": value}}) for value in (0, 10_001, True, "7")),
    *(("delivery.maxBytes", {"delivery": {"maxBytes": value}}) for value in (1_023, 10 * 1024 * 1024 + 1)),
    ("delivery.format", {"delivery": {"format": "canary"}}),
    ("delivery.eventFormat", {"delivery": {"eventFormat": "canary"}}),
    ("delivery.compression", {"delivery": {"compression": "canary"}}),
    ("delivery.ordered", {"delivery": {"ordered": "true"}}),
    ("delivery.extra", {"delivery": {"extra": "canary"}}),
    ("s3bucket", {"s3bucket": "canary"}),
    ("id", {"id": "canary"}),
]


@pytest.mark.parametrize("field", sorted({field for field, _ in BAD_FIELDS}))
async def test_a_bad_field_is_named_and_nothing_is_echoed(api: Client, field: str) -> None:
    for fields in (fields for named, fields in BAD_FIELDS if named == field):
        check(await api.call("POST", "/add-source", source_body() | fields), field)
    assert (await api.get("/sources"))["sources"] == []


async def test_one_answer_names_every_bad_field(api: Client) -> None:
    body = source_body(
        sourceType="canary",
        credentials=credentials(region="canary", secretAccessKey="canary"),
        callbackUrl="http://canary.example/",
        logFetchInterval=0,
        s3Bucket="Canary",
        unknown="canary",
    )
    wanted = ["sourceType", "credentials.region", "credentials.secretAccessKey", "callbackUrl", "logFetchInterval"]
    check(await api.call("POST", "/add-source", body), *wanted, "s3Bucket", "unknown")


async def test_a_refused_callback_says_which_setting_would_allow_it(api: Client) -> None:
    reply = await api.call("POST", "/add-source", source_body(callbackUrl="https://10.0.0.1/"))
    assert "TRAILHOOK_ALLOW_CALLBACK_CIDRS" in reply.json["errors"][0]["message"]


@pytest.mark.parametrize(
    ("field", "fields", "message"),
    [
        ("sourceType", {"sourceType": "canary"}, "must be 'aws_cloudtrail'"),
        ("name", {"name": ""}, "must have 1 or more characters"),
        ("name", {"name": 7}, "must be text"),
        ("logFetchInterval", {"logFetchInterval": 0}, "must be at least 1"),
        ("logFetchInterval", {"logFetchInterval": 86_401}, "must be at most 86,400"),
        ("logFetchInterval", {"logFetchInterval": "300"}, "must be a whole number"),
        ("intake", {"intake": []}, "must hold 1 or more entries"),
        ("delivery.format", {"delivery": {"format": "x"}}, "must be 'envelope', 'ndjson', 'array' or 'single'"),
        ("delivery.ordered", {"delivery": {"ordered": "true"}}, "must be true or false"),
    ],
)
async def test_the_usual_mistakes_are_told_in_plain_words(
    api: Client, field: str, fields: dict[str, Any], message: str
) -> None:
    reply = await api.call("POST", "/add-source", source_body() | fields)
    assert reply.json["errors"] == [{"field": field, "message": message}]


async def test_no_refusal_speaks_in_the_words_of_a_library(api: Client) -> None:
    for _, fields in BAD_FIELDS:
        for error in (await api.call("POST", "/add-source", source_body() | fields)).json["errors"]:
            assert not error["message"].startswith(("Input", "String", "List", "Dictionary", "Value")), error


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("s3Bucket", {"s3Bucket": None, "intake": ["s3"]}),
        ("s3Bucket", {"s3Bucket": None, "intake": ["s3", "lookup"]}),
    ],
)
async def test_a_way_in_without_what_it_needs_is_refused_in_plain_words(
    api: Client, field: str, fields: dict[str, Any]
) -> None:
    check(await api.call("POST", "/add-source", source_body(**fields)), field)


NOT_JSON = [
    b"",
    b"{",
    b"canary",
    b'{"name": "canary",}',
    b"\xff\xfe",
    b'{"name": "\\ud800"}',
    b"[" * 5_000,
    b"NaN",
    b"{}{}",
]


async def test_a_body_that_is_no_json_is_refused(api: Client) -> None:
    for body in NOT_JSON:
        check(await api.call("POST", "/add-source", body, headers={"content-type": "application/json"}), "body")


@pytest.mark.parametrize("body", [[], "canary", 7, None, True])
async def test_a_body_that_is_no_object_is_refused(api: Client, body: object) -> None:
    check(await api.call("POST", "/add-source", json.dumps(body).encode()), "body")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_that_is_not_sent_as_json_is_a_415(api: Client, content_type: str) -> None:
    reply = await api.call("POST", "/add-source", source_body(), headers={"content-type": content_type})
    assert (reply.status, reply.json["status"]) == (415, 415)


async def test_json_may_name_its_character_set(api: Client) -> None:
    content_type = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await api.call("POST", "/add-source", source_body(), headers=content_type)).status == 201


async def test_a_body_over_the_limit_is_a_413_even_in_chunks(api: Client, parts: Parts) -> None:
    most = parts.settings.request_bytes_max
    whole = await api.call("POST", "/add-source", b" " * (most + 1))
    chunked = await api.call("POST", "/add-source", chunks=[b" " * 1024] * (most // 1024 + 1))
    for reply in (whole, chunked):
        assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")
        assert "TRAILHOOK_REQUEST_BYTES_MAX" in reply.json["detail"]


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/sources?limit=0", "limit"),
        ("/sources?limit=canary", "limit"),
        ("/sources?limit=501", "limit"),
        ("/sources?status=canary", "status"),
        ("/sources?canary=1", "query"),
        ("/sources?cursor=canary", "cursor"),
        ("/sources?cursor=%C3%A9", "cursor"),
        ("/sources?cursor=MQ", "cursor"),
        ("/sources/x?canary=1", "query"),
        ("/deliveries?status=canary", "status"),
        ("/deliveries?cursor=InN0cmluZyI", "cursor"),
        ("/deliveries/x?body=canary", "body"),
        ("/quarantine?state=canary", "query"),
        ("/tokens?cursor=MQ", "cursor"),
        ("/metrics?canary=1", "query"),
        ("/openapi.json?canary=1", "query"),
    ],
)
async def test_a_bad_query_parameter_is_named(api: Client, target: str, field: str) -> None:
    check(await api.call("GET", target), field)


@pytest.mark.parametrize("key", ["", "c" * 256])
async def test_a_bad_idempotency_key_is_named(api: Client, key: str) -> None:
    check(await api.call("POST", "/add-source", source_body(), headers={"idempotency-key": key}), "idempotency-key")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/canary", 404), ("GET", "/sources/", 404), ("PUT", "/sources", 405), ("GET", "/add-source", 405)],
)
async def test_what_does_not_exist_is_a_problem_document(api: Client, method: str, target: str, status: int) -> None:
    reply = await api.call(method, target)
    assert (reply.status, reply.json["status"]) == (status, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert b"canary" not in reply.body


async def test_a_405_tells_every_method_that_the_path_takes(api: Client) -> None:
    reply = await api.call("PUT", "/sources/some-id")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, PATCH")
    assert (await api.call("OPTIONS", "/tokens")).headers["allow"] == "GET, HEAD, POST"
    assert (await api.call("GET", "/remove-source/some-id")).headers["allow"] == "DELETE"


async def test_what_can_be_got_can_be_asked_for_its_headers(api: Client) -> None:
    for target in ("/healthz", "/readyz", "/sources", "/metrics"):
        got, asked = await api.call("GET", target), await api.call("HEAD", target)
        assert (asked.status, asked.headers["content-type"]) == (200, got.headers["content-type"])
    assert (await api.call("HEAD", "/nowhere")).status == 404
    assert (await api.call("HEAD", "/add-source")).status == 405


async def test_every_answer_carries_the_security_headers(api: Client) -> None:
    for target in ("/sources", "/canary", "/healthz", "/sources?canary=1"):
        headers = (await api.call("GET", target)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


async def test_a_store_that_is_gone_is_a_503_that_says_when_to_come_back(tmp_path: Any) -> None:
    async with parts_on(tmp_path) as parts:
        api = Client(create_app(parts), "th_whatever")
    reply = await api.call("GET", "/sources")
    assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
    assert int(reply.headers["retry-after"]) >= 1
    ready = await api.call("GET", "/readyz")
    assert (ready.status, ready.json) == (503, {"status": "not ready"})
