"""Canary secrets go in; they come out of no file, no log line and no answer."""

import asyncio
import base64
import json
import re
from pathlib import Path

from support.aws import SimulatedAws
from support.receiver import receiving
from support.samples import log_file, log_key, record
from support.service import Service, environment, serving

SECRET_KEY = "CanarySecretAccessKey+0123456789/abcdefgh"
SESSION_TOKEN = "CanarySessionToken//////////abcdefghijklmnopqrstuvwxyz0123456789"
NOTIFY_PATH = "CanaryOfANotifyUrl"
HEADER = "Bearer CanaryHeaderValue0123456789"


async def test_no_secret_is_in_the_store_the_logs_or_any_answer(tmp_path: Path, aws: SimulatedAws) -> None:
    aws.create_bucket("canary")
    aws.put("canary", log_key("20250615T1200Z", "AAAAAAAAAAAAAAAA"), log_file([record(1)]))
    answers: list[str] = []
    async with receiving() as receiver:
        receiver.answer = lambda delivery: 500 if len(receiver.deliveries) == 1 else 200
        more = {"TRAILHOOK_LOG_LEVEL": "DEBUG", "TRAILHOOK_NOTIFY_URLS": f"json://{receiver.host}/{NOTIFY_PATH}/"}
        env = environment(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), **more)
        async with serving(env) as service:
            added = await service.api.post(
                "/add-source",
                {
                    "sourceType": "aws_cloudtrail",
                    "name": "canary",
                    "credentials": {
                        "accessKeyId": "AKIACANARYCANARY0001",
                        "secretAccessKey": SECRET_KEY,
                        "sessionToken": SESSION_TOKEN,
                        "region": "us-east-1",
                    },
                    "logFetchInterval": 1,
                    "callbackUrl": receiver.url,
                    "s3Bucket": "canary",
                    "endpointUrl": aws.endpoint_url,
                    "startFrom": "beginning",
                    "delivery": {"headers": {"Authorization": HEADER}},
                },
            )
            signing = added.pop("signingSecret")
            answers.append(json.dumps(added))
            async with asyncio.timeout(60):
                while not receiver.taken:
                    await asyncio.sleep(0.05)
            assert receiver.taken[0].headers["authorization"] == HEADER
            await service.api.call("PATCH", f"/sources/{added['id']}", {"s3Bucket": "canary-absent"})
            async with asyncio.timeout(60):
                while not any("canary: misconfigured" in each.document.get("title", "") for each in receiver.taken):
                    await asyncio.sleep(0.05)
            answers += await every_answer(service, added["id"])
            assert await service.stop() == 0
    canaries = [SECRET_KEY, SESSION_TOKEN, HEADER, HEADER.removeprefix("Bearer "), signing, "AKIACANARYCANARY0001"]
    canaries.append(NOTIFY_PATH)
    raw_signing = base64.b64decode(signing.removeprefix("whsec_"))
    stored = everything_in(tmp_path)
    assert stored
    for canary in canaries:
        assert canary.encode() not in stored
        assert canary not in "".join(service.output)
        assert not any(canary in answer for answer in answers)
    assert raw_signing not in stored


def everything_in(folder: Path) -> bytes:
    """The bytes of every file in a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def every_answer(service: Service, source: str) -> list[str]:
    """What every route of the API answers, errors too."""
    document = await service.api.get("/openapi.json")
    delivery = (await service.api.get("/deliveries"))["deliveries"][0]["id"]
    answers = []
    for path, methods in document["paths"].items():
        for method in methods:
            if "rotate" in path or path.endswith("/tail") or method == "delete":
                continue
            concrete = path.replace("{id}", delivery if path.startswith("/deliveries") else source)
            concrete = re.sub(r"\{\w+\}", "1", concrete)
            assert not re.search(r"[{}]", concrete), path
            body = {"credentials": {"secretAccessKey": SECRET_KEY}, "nonsense": SESSION_TOKEN}
            reply = await service.api.call(method.upper(), concrete, None if method == "get" else body)
            answers.append(reply.body.decode())
    assert len(answers) > 15
    return answers
