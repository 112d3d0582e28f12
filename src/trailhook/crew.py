"""Workers beside a process that shares MongoDB and Redis with them: started with it, ended with it, and started again
when they die. Each is a `trailhook worker` of its own (`python -m trailhook.crew`) that ends when its starter is gone.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from trailhook.clock import Clock
from trailhook.parent import end_with_parent
from trailhook.settings import PREFIX, Settings

log = logging.getLogger(__name__)

REST_S_MAX: Final = 60.0
"""Longest wait before a worker is started again: it doubles from a second on."""
WELL_S: Final = 60.0
"""A worker that lived so long was well: the next is started after a second."""
ANNOUNCED: Final = "Trailhook listens on "
"""What a worker announces, and where."""
KILL_AFTER_S: Final = 5.0
"""A worker is killed so long after requests in flight should have ended."""


async def keep_workers(settings: Settings, clock: Clock) -> None:
    """Have all workers but this process itself at work until cancelled; then stop them as a supervisor would."""
    environ = _environment(os.environ, settings)
    async with asyncio.TaskGroup() as workers:
        for _ in range(settings.workers - 1):
            workers.create_task(_keep(environ, settings.shutdown_s + KILL_AFTER_S, clock))


async def _keep(environ: Mapping[str, str], end_s: float, clock: Clock) -> None:
    rest_s = 1.0
    while True:
        began_at = clock.now()
        status = await _live(environ, end_s)
        rest_s = 1.0 if clock.now() - began_at > WELL_S else min(REST_S_MAX, 2 * rest_s)
        log.error("a worker process ended with status %s; the next in %.0f s", status, rest_s)
        await clock.sleep(rest_s)


async def _live(environ: Mapping[str, str], end_s: float) -> int:
    """Start one, pass on what it announces, and return how it ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trailhook.crew"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environ,
        start_new_session=True,  # a Ctrl-C is this process's affair
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async for line in process.stdout:
            where = line.decode(errors="replace").strip().removeprefix(ANNOUNCED)
            log.info("worker %d has its probes and metrics at %s", process.pid, where)
        return await process.wait()
    finally:
        await _end(process, end_s)


async def _end(process: asyncio.subprocess.Process, end_s: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(end_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """This process's own, with what its command line may have said, but for a port that it has already."""
    given = {"HOST": settings.host, "DATA_DIR": settings.data_dir, "LOG_LEVEL": settings.log_level}
    own = {"WORKER_PORT": 0, "WORKERS": 1}
    return {**environ, **{PREFIX + name: str(value) for name, value in {**given, **own}.items()}}


def main() -> None:
    """Be such a worker."""
    from trailhook.cli.main import app  # noqa: PLC0415 - it is what starts a crew, too

    end_with_parent()
    app(["worker"], prog_name="trailhook")


if __name__ == "__main__":
    main()
