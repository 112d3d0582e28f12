"""`trailhook serve` as users run it: a process of its own, that can be killed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.product import TOKEN, Api

START_S_MAX = 30.0
TESTS = Path(__file__).resolve().parents[1]
"""Where programs of the tests' own are imported from."""


@dataclass
class Service:
    """One running process."""

    process: asyncio.subprocess.Process
    api: Api
    output: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to end, as a supervisor would, and return its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


def environment(data_dir: Path, *, hosts: tuple[str, ...], endpoints: tuple[str, ...], **more: str) -> dict[str, str]:
    """Settings for a service on a free port that may call `hosts` and fetch from `endpoints`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOOK_")}
    return kept | {
        "TRAILHOOK_DATA_DIR": str(data_dir),
        "TRAILHOOK_PORT": "0",
        "TRAILHOOK_API_TOKEN": TOKEN,
        "TRAILHOOK_ALLOW_HTTP_CALLBACKS": "true",
        "TRAILHOOK_ALLOW_CALLBACK_HOSTS": ",".join(hosts),
        "TRAILHOOK_ALLOW_AWS_ENDPOINTS": ",".join(endpoints),
        "TRAILHOOK_LOG_FORMAT": "json",
        **more,
    }


@asynccontextmanager
async def serving(env: dict[str, str], *program: str) -> AsyncIterator[Service]:
    """A service that answers (`trailhook serve`, or another `python …`); killed at the end if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(program or ("-m", "trailhook", "serve")),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    service = Service(process, Api(0))
    reading = asyncio.create_task(_read(process, service))
    try:
        async with asyncio.timeout(START_S_MAX):
            while not service.api.port and process.returncode is None:
                await asyncio.sleep(0.02)
        assert service.api.port, "".join(service.output)
        yield service
    finally:
        if process.returncode is None:
            await service.kill()
        await reading


async def _read(process: asyncio.subprocess.Process, service: Service) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        text = line.decode()
        service.output.append(text)
        if found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", text):
            service.api.port = int(found[1])
