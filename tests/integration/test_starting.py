"""`trailhook serve` from its first start to its end: what it says, what it refuses, and with which exit status."""

import asyncio
import json
import sys
from pathlib import Path

from support.service import Service, environment, serving

NO_TOKEN = {"TRAILHOOK_API_TOKEN": ""}


def surroundings(data_dir: Path, **more: str) -> dict[str, str]:
    return environment(data_dir, hosts=(), endpoints=(), **more)


async def refused(data_dir: Path, **more: str) -> str:
    """What it says when it refuses to start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trailhook",
        "serve",
        env=surroundings(data_dir, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2, said
    assert said.startswith(b"error: ")
    assert b"Traceback" not in said
    return said.decode()


async def said_by(data_dir: Path, **more: str) -> list[str]:
    """Start, stop, and what was said meanwhile."""
    async with serving(surroundings(data_dir, **more)) as service:
        assert await service.stop() == 0
    return service.output


async def test_the_first_start_tells_the_token_and_the_key_file_once_and_no_start_chatters(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    key, token, address, *logged = await said_by(data_dir, **NO_TOKEN)
    assert f"Made the master key {data_dir / 'master.keys'}: back it up" in key
    assert "shown this once: th_" in token
    assert address.startswith("Trailhook listens on http://127.0.0.1:")
    assert [json.loads(line)["message"] for line in logged] == ["stopping"]
    address, *logged = await said_by(data_dir, **NO_TOKEN)
    assert address.startswith("Trailhook listens on")
    assert [json.loads(line)["message"] for line in logged] == ["stopping"]


async def test_what_cannot_work_is_refused_by_name_before_anything_is_served(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    told = await refused(data_dir, TRAILHOOK_TLS_CERT=str(garbage), TRAILHOOK_TLS_KEY=str(garbage))
    assert "TRAILHOOK_TLS_CERT and TRAILHOOK_TLS_KEY cannot be used: not a certificate" in told
    assert "TRAILHOOK_DATA_DIR" in await refused(garbage)


async def test_one_process_has_a_data_directory_and_one_its_port(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with serving(surroundings(data_dir)) as service:
        owned = await refused(data_dir)
        assert f"{data_dir} belongs to process {service.process.pid}" in owned
        taken = await refused(tmp_path / "other", TRAILHOOK_PORT=str(service.api.port))
        assert f"cannot listen on 127.0.0.1:{service.api.port}: Address already in use; TRAILHOOK_PORT" in taken
        await head_has_no_body(service)


async def head_has_no_body(service: Service) -> None:
    for path in ("/healthz", "/sources", "/nowhere"):
        got, asked = await service.api.call("GET", path), await service.api.call("HEAD", path)
        assert (asked.status, asked.body) == (got.status, b"")
        assert asked.headers["content-length"] == str(len(got.body))


async def test_a_wrong_or_missing_master_key_refuses_to_start(tmp_path: Path) -> None:
    await said_by(tmp_path)
    (tmp_path / "master.keys").rename(tmp_path / "elsewhere")
    for keys, words in (
        ("other:" + "A" * 43 + "=", "is not the one this data was sealed with"),
        ("k:c2hvcnQ=", "TRAILHOOK_MASTER_KEYS, key 1: after the colon must be the base64 of 32 bytes"),
        ("", "is missing, and the stored credentials cannot be opened without it"),
    ):
        assert words in await refused(tmp_path, TRAILHOOK_MASTER_KEYS=keys)
