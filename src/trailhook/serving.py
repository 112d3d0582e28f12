"""A process of Trailhook: everything in one, or one of the halves, of which there may be any number."""

import asyncio
import logging
import random
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import uvicorn
from fastapi import FastAPI

from trailhook import memory
from trailhook.api.server import create_probes
from trailhook.app import Parts, build, jobs
from trailhook.clock import SystemClock
from trailhook.crew import keep_workers
from trailhook.errors import SettingsError
from trailhook.settings import Settings
from trailhook.web.server import create_site

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a process is there for."""

    api: bool
    """Whether it serves the API, or probes and metrics only."""
    works: bool
    """Whether it runs jobs."""
    alone: bool
    """Whether it may have its store and its queue to itself."""


ROLES = {
    "serve": Role(api=True, works=True, alone=True),
    "api": Role(api=True, works=False, alone=False),
    "worker": Role(api=False, works=True, alone=False),
}
"""By the command that starts it."""


def run(role: Role, settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Be that process until SIGTERM or SIGINT. Blocks. Raises `SettingsError` when what is set cannot work."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(role, settings, announce=announce))


async def serve(
    role: Role,
    settings: Settings,
    *,
    announce: Callable[[str], None],
    fit: Callable[[Parts], Parts] = lambda parts: parts,
) -> None:
    """The same, on a loop that runs already.

    `announce` is told what a person should read: the address, and on the first run the token and the key file.
    `fit` may put other parts in the place of those that were built, such as one that fails when told to.
    """
    if not role.alone:
        _check_shared(settings)
    if not role.api:
        settings = replace(settings, port=settings.worker_port)
    stop = asyncio.Event()
    async with build(settings, clock=SystemClock(), announce=announce, first_token=role.api) as built:
        parts = fit(built)
        memory.settle()
        server, listener = _server(create_site(parts) if role.api else create_probes(parts), settings)
        with listener, _stopped_by_signals(stop):
            announce(f"Trailhook listens on {_address(settings, listener)}")
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(each) for each in (_work(parts) if role.works else ())]
                serving = tasks.create_task(server.serve(sockets=[listener]))
                await asyncio.wait([tasks.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
                log.info("stopping")
                parts.tails.close()
                server.should_exit = True
                stop.set()
                for task in running:
                    task.cancel()


def _work(parts: Parts) -> Iterator[Coroutine[None, None, None]]:
    work = jobs(parts, random.SystemRandom())
    yield parts.queue.run(work.handlers(), concurrency=work.concurrency())
    yield work.tick()
    if parts.settings.workers > 1 and parts.settings.shared:
        yield keep_workers(parts.settings, parts.clock)


def _check_shared(settings: Settings) -> None:
    urls = {"TRAILHOOK_MONGODB_URL": settings.mongodb_url, "TRAILHOOK_REDIS_URL": settings.redis_url}
    if missing := [name for name, url in urls.items() if url is None]:
        raise SettingsError(
            f"{' and '.join(missing)} must be set: the api and the workers meet only there "
            "(`trailhook serve` is the process that needs neither)"
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where there is one for this system."""
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    """uvicorn, leaving the signals to us: the jobs have to stop with it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: FastAPI, settings: Settings) -> tuple[uvicorn.Server, socket.socket]:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        timeout_graceful_shutdown=int(settings.shutdown_s),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except OSError as error:
        why = "not a certificate and its key in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"TRAILHOOK_TLS_CERT and TRAILHOOK_TLS_KEY cannot be used: {why}") from error
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {why}; TRAILHOOK_PORT or --port chooses another port"
        ) from error
    return _Server(config), listener


def _address(settings: Settings, listener: socket.socket) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
