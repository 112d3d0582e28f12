"""The composition root: settings in, running parts out. The one file that names concrete classes."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from trailhook import body
from trailhook.backfill import Backfills
from trailhook.backfilling import Backfiller
from trailhook.clock import Clock
from trailhook.completeness import Completeness
from trailhook.delivery.deliver import Deliverer
from trailhook.errors import CredentialsInvalid, KeyUnavailable, SettingsError
from trailhook.holding import Verified
from trailhook.intake.intake import Intake
from trailhook.intake.readers import InThreads, Reader
from trailhook.intake.reading import Bounds
from trailhook.intake.reading_processes import InProcesses
from trailhook.jobs import Jobs
from trailhook.model import Source
from trailhook.net.base import Transport
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.notify import Notifier
from trailhook.notify_elsewhere import Elsewhere, NotifyUrls
from trailhook.preflight import Preflight
from trailhook.queue.base import Queue
from trailhook.queue.local import LocalQueue
from trailhook.search.log import EventSearch
from trailhook.search.tail import Tails
from trailhook.security.base import Vault
from trailhook.security.secrets import SourceSecrets
from trailhook.security.sessions import Sessions
from trailhook.security.tokens import Scope, Tokens
from trailhook.security.vault import AesVault, MasterKeys, key_check, load_or_create_key_file, verify_key_check
from trailhook.settings import Settings
from trailhook.sources.aws import AwsHttp
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access, History, WayIn
from trailhook.sources.digests import Digests
from trailhook.sources.lookup import LookupEvents
from trailhook.sources.lookup_history import LookupHistory
from trailhook.sources.s3 import S3Polling
from trailhook.sources.s3_history import S3History
from trailhook.sources.sqs import SqsNotifications
from trailhook.sources.trails import Trails
from trailhook.sources.vouchers import Vouchers
from trailhook.store.base import Limits, Store
from trailhook.store.ownership import own
from trailhook.store.sqlite import SqliteStore
from trailhook.telemetry import Metrics
from trailhook.tracing import UNTRACED, Tracing
from trailhook.watch import Watch

STORE_FILE = "trailhook.sqlite"
KEY_FILE = "master.keys"
KEY_CHECK = ("meta", "key-check")
FIRST_TOKEN_LEASE_S = 30.0


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
    sessions: Sessions
    tails: Tails
    callback_guard: Guard
    aws_guard: Guard
    callbacks: Transport
    aws: Transport
    metrics: Metrics
    tracing: Tracing
    laid_out: body.LaidOut
    reader: Reader
    notify_urls: NotifyUrls


@asynccontextmanager
async def build(
    settings: Settings, *, clock: Clock, announce: Callable[[str], None], first_token: bool = True
) -> AsyncIterator[Parts]:
    """Open every part and close it again: MongoDB and Redis where they are set, else what is embedded.

    An installation that has no API token gets one, unless `first_token` is off. Raises `SettingsError` when what is
    set cannot work.
    """
    _check(settings)
    notify_urls = NotifyUrls(settings.notify_urls, timeout_s=settings.notify_timeout_s)
    async with AsyncExitStack() as stack:
        if settings.mongodb_url is None:
            _make_data_dir(settings.data_dir)
            stack.enter_context(own(settings.data_dir))
        vault = AesVault(_master_keys(settings, announce))
        store = await stack.enter_async_context(_store(settings, clock))
        await _check_master_key(store, vault)
        tokens = Tokens(store, clock)
        if settings.api_token is not None:
            await tokens.bootstrap(settings.api_token)
        elif first_token:
            await _first_token(store, tokens, announce)
        callback_guard, aws_guard = Guard.for_callbacks(settings), Guard.for_aws(settings)
        laid_out = body.LaidOut(settings.laid_out_bytes_max)
        yield Parts(
            settings=settings,
            clock=clock,
            store=store,
            queue=await stack.enter_async_context(_queue(settings, clock)),
            vault=vault,
            secrets=SourceSecrets(vault),
            tokens=tokens,
            sessions=Sessions(
                store, tokens, clock, idle_s=settings.session_idle_s, age_s_max=settings.session_age_s_max
            ),
            tails=Tails(most=settings.tails_max),
            callback_guard=callback_guard,
            aws_guard=aws_guard,
            callbacks=await stack.enter_async_context(HttpTransport(callback_guard, settings)),
            aws=await stack.enter_async_context(HttpTransport(aws_guard, settings)),
            metrics=Metrics(),
            tracing=await stack.enter_async_context(_tracing(settings)),
            laid_out=laid_out,
            reader=await stack.enter_async_context(_reader(settings, laid_out, clock)),
            notify_urls=notify_urls,
        )


def jobs(parts: Parts, rng: random.Random) -> Jobs:
    """The jobs over these parts."""
    ways, listening = _ways(parts, rng)
    notifier = _notifier(parts)
    access = _access(parts)
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
        laid_out=parts.laid_out,
        tracing=parts.tracing,
        reader=parts.reader,
    )
    return Jobs(
        store=parts.store,
        queue=parts.queue,
        ways=ways,
        listening=listening,
        access=access,
        intake=intake,
        backfiller=Backfiller(
            store=parts.store,
            queue=parts.queue,
            histories=_histories(parts),
            access=access,
            intake=intake,
            settings=parts.settings,
            clock=parts.clock,
            rng=rng,
        ),
        deliverer=_deliverer(parts, notifier, rng),
        notifier=notifier,
        elsewhere=Elsewhere(parts.store, parts.notify_urls, parts.settings, parts.clock, parts.metrics),
        watch=_watch(parts, notifier),
        settings=parts.settings,
        clock=parts.clock,
        rng=rng,
    )


def preflight(parts: Parts) -> Preflight:
    """What tries sources out over these parts. It fetches as the jobs do, with credentials that it asks for anew."""
    rng = random.SystemRandom()
    ways, _ = _ways(parts, rng)
    return Preflight(
        ways=ways,
        access=_access(parts),
        ping=_deliverer(parts, _notifier(parts), rng).ping,
        within_s=parts.settings.preflight_timeout_s,
        clock=parts.clock,
    )


def completeness(parts: Parts) -> Completeness:
    """What holds a source against CloudTrail's digests, over these parts."""
    identities = Identities(parts.aws, parts.settings, parts.clock, on_request=parts.metrics.aws_request)
    return Completeness(
        store=parts.store,
        queue=parts.queue,
        digests=Digests(parts.aws, identities, parts.settings, parts.clock, parts.metrics.aws_request),
        access=_access(parts),
        settings=parts.settings,
        clock=parts.clock,
    )


def event_search(parts: Parts) -> EventSearch:
    """What searches the event log of these parts."""
    return EventSearch(parts.store, parts.clock, parts.tails, turn_s=parts.settings.search_turn_s)


def backfills(parts: Parts) -> Backfills:
    """What plans and steers backfills over these parts."""
    return Backfills(
        store=parts.store,
        histories=_histories(parts),
        access=_access(parts),
        within_s=parts.settings.preflight_timeout_s,
        clock=parts.clock,
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


def _ways(parts: Parts, rng: random.Random) -> tuple[Mapping[str, WayIn], Mapping[str, WayIn]]:
    """The ways in by their names: to look once, and to go on listening."""
    identities = Identities(parts.aws, parts.settings, parts.clock, on_request=parts.metrics.aws_request)
    asking = (parts.aws, identities, parts.settings, parts.clock, parts.metrics.aws_request)
    vouchers = Vouchers(Digests(*asking), parts.settings, parts.clock)
    ways: dict[str, WayIn] = {
        "s3": Verified(S3Polling(*asking), vouchers, parts.settings),
        "sqs": Verified(SqsNotifications(*asking), vouchers, parts.settings),
        "lookup": LookupEvents(*asking, documents=parts.store, rng=rng),
    }
    return ways, {"sqs": SqsNotifications(*asking, wait_s=parts.settings.sqs_wait_s)}


def _histories(parts: Parts) -> Mapping[str, History]:
    """The ways in that have a past, by their names."""
    on_request = parts.metrics.aws_request
    identities = Identities(parts.aws, parts.settings, parts.clock, on_request=on_request)
    return {
        "s3": S3History(parts.aws, identities, parts.settings, parts.clock, on_request),
        "lookup": LookupHistory(parts.settings, parts.clock),
    }


def _access(parts: Parts) -> Callable[[Source], Access]:
    def access(source: Source) -> Access:
        try:
            return Access(source=source, credentials=parts.secrets.credentials(source))
        except KeyUnavailable as error:
            raise CredentialsInvalid(
                "The stored credentials cannot be opened with the master keys at hand.",
                "Bring back the master key they were sealed with (TRAILHOOK_MASTER_KEYS), or enter them again.",
            ) from error

    return access


def _notifier(parts: Parts) -> Notifier:
    return Notifier(
        parts.store,
        parts.queue,
        parts.clock,
        body.new_batch_id,
        elsewhere=len(parts.notify_urls),
        expiry_notice_s=parts.settings.expiry_notice_s,
    )


def _watch(parts: Parts, notifier: Notifier) -> Watch:
    on_request = parts.metrics.aws_request
    identities = Identities(parts.aws, parts.settings, parts.clock, on_request=on_request)
    return Watch(
        store=parts.store,
        trails=Trails(AwsHttp(parts.aws, parts.clock, on_request), identities, parts.settings),
        access=_access(parts),
        notifier=notifier,
        settings=parts.settings,
        clock=parts.clock,
    )


def _deliverer(parts: Parts, notifier: Notifier, rng: random.Random) -> Deliverer:
    return Deliverer(
        store=parts.store,
        transport=parts.callbacks,
        secrets=parts.secrets,
        tell=notifier.tell,
        settings=parts.settings,
        clock=parts.clock,
        metrics=parts.metrics,
        rng=rng,
        laid_out=parts.laid_out,
        tracing=parts.tracing,
    )


def _check(settings: Settings) -> None:
    """Refuse what would not do what was asked for."""
    if settings.redis_url is not None and settings.mongodb_url is None:
        raise SettingsError(
            "TRAILHOOK_REDIS_URL is for many processes and the embedded store is for one: set TRAILHOOK_MONGODB_URL "
            "too, or leave both out"
        )
    if settings.mongodb_url is not None and settings.master_keys is None:
        raise SettingsError(
            "TRAILHOOK_MASTER_KEYS is required with TRAILHOOK_MONGODB_URL, the same in every process; "
            "`trailhook key new` makes one"
        )


def _store(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Store]:
    if settings.mongodb_url is None:
        return SqliteStore.open(settings.data_dir / STORE_FILE, clock=clock, limits=limits(settings))
    from trailhook.store.mongo import MongoStore  # noqa: PLC0415 - an embedded installation does without the driver

    # By the server's clock, not ours: those of many machines differ.
    return MongoStore.open(settings.mongodb_url, limits=limits(settings))


def _queue(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Queue]:
    if settings.redis_url is None:
        return nullcontext(LocalQueue(clock, job_timeout_s=settings.job_timeout_s))
    from trailhook.queue.redis import RedisQueue  # noqa: PLC0415 - as above: the client takes some megabytes

    return RedisQueue.open(
        settings.redis_url,
        clock=clock,
        rng=random.SystemRandom(),
        job_timeout_s=settings.job_timeout_s,
        rest_s={"sweep": settings.sweep_every_s, "janitor": settings.clean_every_s, "watch": settings.clean_every_s},
    )


def _reader(settings: Settings, laid_out: body.LaidOut, clock: Clock) -> AbstractAsyncContextManager[Reader]:
    if settings.reading_processes:
        return InProcesses(settings, laid_out, clock)
    return nullcontext(InThreads(Bounds.of(settings), laid_out))


def _tracing(settings: Settings) -> AbstractAsyncContextManager[Tracing]:
    if settings.otlp_url is None:
        return nullcontext(UNTRACED)
    try:
        from trailhook.tracing_otlp import otlp_tracing  # noqa: PLC0415 - an extra, and half a second of imports
    except ImportError as error:
        raise SettingsError(
            "TRAILHOOK_OTLP_URL needs OpenTelemetry, which is not installed: pip install 'trailhook[tracing]'"
        ) from error
    return otlp_tracing(settings.otlp_url, ratio=settings.trace_ratio)


def _make_data_dir(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"TRAILHOOK_DATA_DIR, {path}, cannot be made: {error.strerror}") from error


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
        announce(f"Made the master key {path.resolve()}: back it up, stored credentials cannot be opened without it")
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


async def _first_token(store: Store, tokens: Tokens, announce: Callable[[str], None]) -> None:
    lease = await store.lease("first-token", FIRST_TOKEN_LEASE_S)
    if lease is None:  # another process, started at the same moment, is making it
        return
    if not await tokens.list():
        text, _ = await tokens.create("first run", [Scope.ADMIN])
        announce(f"Your API token, shown this once: {text}")
    await store.release(lease)
