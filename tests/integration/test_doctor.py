"""`trailhook doctor` on real parts, while they run and while they do not."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from support.clock import FakeClock
from support.mongod import free_port, own_mongod
from support.service import environment, serving
from trailhook.app import KEY_FILE, STORE_FILE, build
from trailhook.cli.main import app
from trailhook.clock import SystemClock
from trailhook.doctor import Report, examine
from trailhook.security.vault import new_key
from trailhook.settings import Settings

SECRET = "not-for-anybodys-eyes"


def verdicts(report: Report) -> dict[str, str]:
    return {check.name: check.verdict.value for check in report.checks}


def finding(report: Report, name: str) -> str:
    return next(check.finding for check in report.checks if check.name == name)


async def made(settings: Settings) -> None:
    """Start and end an installation, so that its files are there."""
    async with build(settings, clock=FakeClock(), announce=lambda _: None):
        pass


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


async def test_before_the_first_start_all_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    report = await examine(Settings(data_dir=tmp_path / "data"), SystemClock())
    assert report.well
    assert set(verdicts(report)) == {"settings", "store", "master keys", "disk", "queue", "guard"}
    assert contents(tmp_path) == {}


async def test_a_stopped_installation_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    await made(settings)
    before = contents(tmp_path)
    report = await examine(settings, SystemClock())
    assert report.well
    assert "whole" in finding(report, "store")
    assert "opens what is stored" in finding(report, "master keys")
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before


async def test_a_running_one_is_not_disturbed(tmp_path: Path) -> None:
    env = environment(tmp_path, hosts=(), endpoints=())
    async with serving(env) as service:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--json"], env={**env})
        assert result.exit_code == 0, result.output
        (store,) = [check for check in json.loads(result.output)["checks"] if check["name"] == "store"]
        assert f"in use by process {service.process.pid}" in store["finding"]
        assert (await service.api.get("/sources"))["sources"] == []
        assert await service.stop() == 0


async def test_keys_of_another_installation_are_found_out(tmp_path: Path) -> None:
    await made(Settings(data_dir=tmp_path))
    report = await examine(Settings(data_dir=tmp_path, master_keys=new_key()), SystemClock())
    assert verdicts(report)["master keys"] == "failed"
    assert not report.well
    (tmp_path / KEY_FILE).unlink()
    report = await examine(Settings(data_dir=tmp_path), SystemClock())
    assert "is missing" in finding(report, "master keys")
    assert not (tmp_path / KEY_FILE).exists()


async def test_a_damaged_file_is_found_out(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    await made(settings)
    file = tmp_path / STORE_FILE
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\x5a" * (4096 * 3)
    file.write_bytes(content)
    report = await examine(settings, SystemClock())
    assert verdicts(report)["store"] == "failed"


async def test_the_production_engine_is_looked_at(tmp_path: Path, mongodb_url: str, redis_url: str) -> None:
    settings = Settings(mongodb_url=f"{mongodb_url}doctor", redis_url=redis_url, master_keys=new_key())
    report = await examine(settings, SystemClock())
    assert report.well, report.checks
    assert verdicts(report) == dict.fromkeys(
        ("settings", "store", "transactions", "clock", "master keys", "queue", "guard"), "ok"
    )
    assert "a replica set with a primary" in finding(report, "store")
    await made(settings)
    assert "opens what is stored" in finding(await examine(settings, SystemClock()), "master keys")
    others = Settings(mongodb_url=settings.mongodb_url, master_keys=new_key())
    assert verdicts(await examine(others, SystemClock()))["master keys"] == "failed"


async def test_a_clock_that_is_off_is_found_out(mongodb_url: str) -> None:
    settings = Settings(mongodb_url=f"{mongodb_url}doctor-clock", master_keys=new_key())
    report = await examine(settings, FakeClock())
    assert verdicts(report)["clock"] == "failed"


async def test_a_standalone_server_is_told_apart(tmp_path: Path) -> None:
    with own_mongod(tmp_path, replica_set=False) as server:
        report = await examine(Settings(mongodb_url=server.url("x"), master_keys=new_key()), SystemClock())
    assert verdicts(report)["store"] == "failed"
    assert "stands alone" in finding(report, "store")


async def test_who_does_not_answer_is_named_and_no_secret_is(tmp_path: Path) -> None:
    nobody = f"user:{SECRET}@127.0.0.1:{free_port()}"
    keys = new_key()
    env = environment(tmp_path, hosts=(), endpoints=(), TRAILHOOK_MASTER_KEYS=keys) | {
        "TRAILHOOK_MONGODB_URL": f"mongodb://{nobody}/x",
        "TRAILHOOK_REDIS_URL": f"redis://{nobody}/0",
    }
    # In a process of its own: the driver leaves sockets to the collector when nobody answers.
    line = [sys.executable, "-m", "trailhook", "doctor", "--timeout", "0.3", "--json"]
    ran = await asyncio.to_thread(subprocess.run, line, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    said = {check["name"]: check for check in json.loads(ran.stdout)["checks"]}
    assert "MongoDB does not answer" in said["store"]["finding"]
    assert "Redis does not answer" in said["queue"]["finding"]
    assert SECRET not in ran.stdout + ran.stderr
    assert keys.partition(":")[2] not in ran.stdout + ran.stderr


async def test_a_setting_that_is_none_is_a_usage_error() -> None:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["doctor"], env={"TRAILHOOK_NO_SUCH": "1"})
    assert result.exit_code == 2
