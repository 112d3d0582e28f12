"""The composition root: settings in, running parts out. The one file that names concrete classes."""

import asyncio
import logging
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from trailhook import body
from trailhook.clock import Clock, SystemClock
from trailhook.delivery.deliver import Deliverer
from trailhook.errors import KeyUnavailable, SettingsError
from trailhook.intake.intake import Intake
from trailhook.jobs import Jobs
from trailhook.model import Source
from trailhook.net.base import Transport
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.notify import Notifier
from trailhook.queue.base import Queue
from trailhook.queue.local import LocalQueue
from trailhook.security.base import Vault
from trailhook.security.secrets import SourceSecrets
from trailhook.security.tokens import Scope, Tokens
from trailhook.security.vault import AesVault, MasterKeys, key_check, load_or_create_key_file, verify_key_check
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access
from trailhook.sources.s3 import S3Polling
from trailhook.store.base import Limits, Store
from trailhook.store.ownership import own
from trailhook.store.sqlite import SqliteStore
from trailhook.telemetry import Metrics

log = logging.getLogger(__name__)

STORE_FILE = "trailhook.sqlite"
KEY_FILE = "master.keys"
KEY_CHECK = ("meta", "key-check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that runs, for those who put a face on it."""

    settings: Settings
    clock: Clock
    store: Store
    queue: Queue
    vault: Vault
    secrets: SourceSecrets
    tokens: Tokens
    callback_guard: Guard
    aws_guard: Guard
    callbacks: Transport
    aws: Transport
    metrics: Metrics


@asynccontextmanager
async def build(settings: Settings, *, clock: Clock, announce: Callable[[str], None]) -> AsyncIterator[Parts]:
    """Open every part and close it again. Raises `SettingsError` when what is set cannot work."""
    async with AsyncExitStack() as stack:
        _make_data_dir(settings.data_dir)
        stack.enter_context(own(settings.data_dir))
        vault = AesVault(_master_keys(settings, announce))
        store = await stack.enter_async_context(
            SqliteStore.open(settings.data_dir / STORE_FILE, clock=clock, limits=limits(settings))
        )
        await _check_master_key(store, vault)
        tokens = Tokens(store, clock)
        await _first_token(tokens, settings, announce)
        callback_guard, aws_guard = Guard.for_callbacks(settings), Guard.for_aws(settings)
        yield Parts(
            settings=settings,
            clock=clock,
            store=store,
            queue=LocalQueue(clock),
            vault=vault,
            secrets=SourceSecrets(vault),
            tokens=tokens,
            callback_guard=callback_guard,
            aws_guard=aws_guard,
            callbacks=await stack.enter_async_context(HttpTransport(callback_guard, settings)),
            aws=await stack.enter_async_context(HttpTransport(aws_guard, settings)),
            metrics=Metrics(),
        )


def jobs(parts: Parts, rng: random.Random) -> Jobs:
    """The jobs over these parts."""
    identities = Identities(parts.aws, parts.settings, parts.clock, on_request=parts.metrics.aws_request)
    ways = {"s3": S3Polling(parts.aws, identities, parts.settings, parts.clock, parts.metrics.aws_request)}
    notifier = Notifier(parts.store, parts.queue, parts.clock, body.new_batch_id)

    def access(source: Source) -> Access:
        return Access(source=source, credentials=parts.secrets.credentials(source))

    intake = Intake(
        store=parts.store,
        queue=parts.queue,
        ways=ways,
        access=access,
        tell=notifier.tell,
        settings=parts.settings,
        clock=parts.clock,
        metrics=parts.metrics,
        rng=rng,
    )
    deliverer = Deliverer(
        store=parts.store,
        transport=parts.callbacks,
        secrets=parts.secrets,
        tell=notifier.tell,
        settings=parts.settings,
        clock=parts.clock,
        metrics=parts.metrics,
        rng=rng,
    )
    return Jobs(
        store=parts.store,
        queue=parts.queue,
        ways=ways,
        access=access,
        intake=intake,
        deliverer=deliverer,
        notifier=notifier,
        settings=parts.settings,
        clock=parts.clock,
        rng=rng,
    )


def limits(settings: Settings) -> Limits:
    """What of the settings the store must know."""
    return Limits(
        ledger_days=settings.ledger_days,
        retention_days=settings.retention_days,
        reconcile_days=settings.reconcile_days,
        look_back_s=settings.look_back_s,
        keep_bodies=settings.store_events == "full",
    )


async def serve(
    settings: Settings,
    *,
    clock: Clock | None = None,
    announce: Callable[[str], None] = print,
    stop: asyncio.Event | None = None,
) -> None:
    """Run the API and the jobs in this process until SIGTERM, SIGINT or `stop`.

    `announce` is told what a person should read: the address, and on the first run the token and the key file.
    """
    from trailhook.api.server import create_app  # noqa: PLC0415 - the API builds on Parts, which are defined here

    stop = stop or asyncio.Event()
    async with build(settings, clock=clock or SystemClock(), announce=announce) as parts:
        server, listener = _server(create_app(parts), settings)
        with listener, _stopped_by_signals(stop):
            announce(f"Trailhook listens on {_address(settings, listener)}")
            async with asyncio.TaskGroup() as tasks:
                work = jobs(parts, random.SystemRandom())
                running = [
                    tasks.create_task(parts.queue.run(work.handlers(), concurrency=work.concurrency())),
                    tasks.create_task(work.tick()),
                ]
                serving = tasks.create_task(server.serve(sockets=[listener]))
                await asyncio.wait([tasks.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
                log.info("stopping")
                server.should_exit = True
                stop.set()
                for task in running:
                    task.cancel()


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
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise SettingsError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
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


def _make_data_dir(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"TRAILHOOK_DATA_DIR cannot be made: {error.strerror}") from error


def _master_keys(settings: Settings, announce: Callable[[str], None]) -> MasterKeys:
    if settings.master_keys is not None:
        return MasterKeys.parse(settings.master_keys)
    path = settings.data_dir / KEY_FILE
    if not path.exists() and (settings.data_dir / STORE_FILE).exists():
        raise SettingsError(
            f"the master key file {path} is missing, and the stored credentials cannot be opened without it: "
            "bring it back, or set TRAILHOOK_MASTER_KEYS"
        )
    keys, created = load_or_create_key_file(path)
    if created:
        announce(f"Made the master key {path}: back it up, stored credentials cannot be opened without it")
    return keys


async def _check_master_key(store: Store, vault: AesVault) -> None:
    """Refuse to start with a key that does not open what is stored."""

    def first(present: bytes | None) -> bytes:
        return present or key_check(vault)

    sealed = await store.change_document(*KEY_CHECK, first)
    try:
        verify_key_check(vault, sealed or b"")
    except KeyUnavailable as error:
        raise SettingsError(
            "the master key is not the one this data was sealed with: set TRAILHOOK_MASTER_KEYS (or bring back the "
            "key file) with the key in use before, older keys after newer ones"
        ) from error


async def _first_token(tokens: Tokens, settings: Settings, announce: Callable[[str], None]) -> None:
    if settings.api_token is not None:
        await tokens.bootstrap(settings.api_token)
    elif not await tokens.list():
        text, _ = await tokens.create("first run", [Scope.ADMIN])
        announce(f"Your API token, shown this once: {text}")
