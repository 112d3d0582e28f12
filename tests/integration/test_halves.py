"""`trailhook api` and `trailhook worker`: the halves of the product, over real MongoDB and Valkey."""

from dataclasses import replace
from pathlib import Path

import pytest

from support.asgi import Client
from support.parts import ADMIN, parts_on
from support.service import Service, environment, serving
from trailhook import app
from trailhook import serving as processes
from trailhook.api.server import create_probes
from trailhook.clock import SystemClock
from trailhook.errors import SettingsError
from trailhook.queue.redis import RedisQueue
from trailhook.security.vault import new_key
from trailhook.settings import Settings

MONGODB, REDIS = "mongodb://:hunter2@127.0.0.1:1/x", "redis://:hunter2@127.0.0.1:1"
CANARY = "hunter2"


def said(line: str) -> None:
    raise AssertionError(f"it came so far as to say {line}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(), "^TRAILHOOK_MONGODB_URL and TRAILHOOK_REDIS_URL must be set"),
        (Settings(redis_url=REDIS), "^TRAILHOOK_MONGODB_URL must be set"),
        (Settings(mongodb_url=MONGODB), "^TRAILHOOK_REDIS_URL must be set"),
        (Settings(mongodb_url=MONGODB, redis_url=REDIS), "^TRAILHOOK_MASTER_KEYS is required"),
    ],
    ids=["both", "mongodb", "redis", "keys"],
)
@pytest.mark.parametrize("half", ["api", "worker"])
async def test_a_half_names_what_it_misses(half: str, settings: Settings, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        await processes.serve(processes.ROLES[half], settings, announce=said)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(redis_url=REDIS), "TRAILHOOK_MONGODB_URL"),
        (Settings(mongodb_url=MONGODB), "TRAILHOOK_MASTER_KEYS"),
        (Settings(notify_urls=("nonsense://:hunter2@here",)), "TRAILHOOK_NOTIFY_URLS: .* number 1 of 1"),
    ],
    ids=["redis without mongodb", "mongodb without keys", "notify urls"],
)
async def test_what_would_not_do_what_was_asked_for_is_refused(settings: Settings, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        async with app.build(replace(settings, data_dir=tmp_path / "data"), clock=SystemClock(), announce=said):
            pass
    assert CANARY not in str(refused.value)
    assert not (tmp_path / "data").exists()


async def test_a_worker_answers_probes_and_metrics_and_nothing_else(tmp_path: Path) -> None:
    async with parts_on(tmp_path) as parts:
        probes, stranger = Client(create_probes(parts), ADMIN), Client(create_probes(parts))
        assert (await stranger.call("GET", "/healthz")).status == 200
        assert (await stranger.call("GET", "/readyz")).status == 200
        assert (await stranger.call("GET", "/metrics")).status == 401
        assert b"trailhook_queue_jobs" in (await probes.call("GET", "/metrics")).body
        for target in ("/sources", "/openapi.json", "/docs", "/tokens", "/"):
            assert (await probes.call("GET", target)).status == 404
        assert (await probes.call("POST", "/add-source", {})).status == 404


async def test_halves_meet_at_mongodb_and_redis_and_stop_when_told(
    mongodb_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = environment(
        tmp_path / "unused",
        hosts=("127.0.0.1:1",),
        endpoints=("127.0.0.1:1",),
        TRAILHOOK_MONGODB_URL=f"{mongodb_url}halves",
        TRAILHOOK_REDIS_URL=redis_url,
        TRAILHOOK_MASTER_KEYS=new_key(),
        TRAILHOOK_WORKER_PORT="0",
    )
    async with serving(env, "-m", "trailhook", "api") as api, serving(env, "-m", "trailhook", "worker") as worker:
        source = await api.api.post("/add-source", SOURCE)
        assert await _fetched(api, source["id"]), "the worker has not looked at the source that the api was told of"
        ready = await worker.api.get("/readyz?verbose")
        assert ready["parts"] == {"store": "ok", "queue": "ok"}
        assert (await api.stop(), await worker.stop()) == (0, 0)
    assert not (tmp_path / "unused").exists()
    assert "Traceback" not in "".join([*api.output, *worker.output])


SOURCE = {
    "sourceType": "aws_cloudtrail",
    "name": "nobody answers there",
    "credentials": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "x" * 40, "region": "us-east-1"},
    "logFetchInterval": 1,
    "callbackUrl": "http://127.0.0.1:1/hook",
    "s3Bucket": "logs",
    "endpointUrl": "http://127.0.0.1:1",
}


async def _fetched(api: Service, source_id: str) -> bool:
    """Whether a poll of the source was tried, which is seen from its next one lying ahead of its first."""
    first = (await api.api.get(f"/sources/{source_id}"))["nextFetchAt"]
    for _ in range(500):
        if (await api.api.get(f"/sources/{source_id}"))["nextFetchAt"] != first:
            return True
    return False


async def test_everything_in_one_process_may_use_both_servers(mongodb_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "unused", mongodb_url=f"{mongodb_url}one", redis_url=redis_url, master_keys=new_key()
    )
    told: list[str] = []
    for _ in range(2):
        async with app.build(settings, clock=SystemClock(), announce=told.append) as parts:
            await parts.store.check()
            await parts.queue.check()
            assert isinstance(parts.queue, RedisQueue)
    assert len(told) == 1
    assert told[0].startswith("Your API token, shown this once: th_")
    assert not settings.data_dir.exists()
