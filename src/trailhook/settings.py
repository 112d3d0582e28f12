"""Every setting and every limit, each with its unit in its name and its reason beside it.

A setting `some_name` is read from `TRAILHOOK_SOME_NAME`, else from `TRAILHOOK_SOME_NAME_FILE` (a path whose content
is the value), else from `some_name` in `trailhook.toml`, else it is its default. Unknown names are refused.
"""

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trailhook.errors import SettingsError

PREFIX = "TRAILHOOK_"
CLIENT_NAMES = frozenset({"TRAILHOOK_URL", "TRAILHOOK_REAL_DATA", "TRAILHOOK_CONFIG"})
"""Names under our prefix that are not the server's: the command line's and the tests'."""
TEST_PREFIX = "TRAILHOOK_TEST_"
CONFIG_FILE = "trailhook.toml"

KIB = 1024
MIB = 1024 * KIB
HOUR_S = 3_600.0
DAY_S = 86_400.0


def _setting(default: Any, doc: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "least": least, "most": most})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of one process."""

    # ------------------------------------------------------------------------------------------- where things are
    data_dir: Path = _setting(Path("trailhook-data"), "Where the embedded store, its key file and its lock live.")
    mongodb_url: str | None = _setting(None, "MongoDB replica set to use instead of SQLite.")
    redis_url: str | None = _setting(None, "Redis to use instead of the in-process queue.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 takes a free one.", least=0, most=65_535)
    worker_port: int = _setting(8081, "The same for trailhook worker: probes and metrics only.", least=0, most=65_535)
    tls_cert: Path | None = _setting(None, "Certificate chain (PEM) to serve HTTPS with.")
    tls_key: Path | None = _setting(None, "Its private key (PEM).")
    behind_proxy: bool = _setting(False, "A proxy in front ends TLS: listening beyond loopback without it is fine.")
    log_format: str | None = _setting(None, "console or json; by default console on a terminal, else json.")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR.")
    otlp_url: str | None = _setting(None, "Collector that takes traces (OTLP/HTTP); needs the extra `tracing`.")
    trace_ratio: float = _setting(
        1.0, "Share of batches that are traced, the same ones in every process.", least=0, most=1
    )
    notify_urls: tuple[str, ...] = _setting((), "Where else notices go (Apprise URLs), comma-separated.")
    notify_timeout_s: float = _setting(30.0, "What a notice to one of them may take; mail servers are slow.", least=1)
    notify_give_up_after_s: float = _setting(
        DAY_S, "A notice that one of them has not taken by then is old news, and no longer tried.", least=60
    )
    expiry_notice_s: float = _setting(
        HOUR_S / 2, "How long before a session token ends that is told: half of the shortest usual session.", least=0
    )
    silence_after_s: float = _setting(
        2 * HOUR_S,
        "The least time without a log file that is silence: AWS delivers within 5 minutes, its incidents last an hour.",
        least=60,
    )

    # ---------------------------------------------------------------------------------------------------- secrets
    master_keys: str | None = _setting(None, "Comma-separated kid:base64-of-32-bytes, newest first.")
    api_token: str | None = _setting(None, "Bootstrap admin token.")

    # ------------------------------------------------------------------------------------------------------ guard
    allow_http_callbacks: bool = _setting(False, "Accept callback URLs with http.")
    allow_callback_hosts: tuple[str, ...] = _setting(
        (), "Exact host or host:port that may be called whatever its address; comma-separated."
    )
    allow_callback_cidrs: tuple[str, ...] = _setting((), "Private ranges that callbacks may be in; comma-separated.")
    allow_aws_endpoints: tuple[str, ...] = _setting((), "Hosts (or host:port) that endpointUrl may name.")

    # -------------------------------------------------------------------------------------------- how long we keep
    retention_days: int = _setting(30, "The event log and delivered bodies are kept so long.", least=1, most=3_650)
    ledger_days: int = _setting(
        45, "Memory of duplicates. AWS redelivers for 30 days; 45 is the least that is safe.", least=45, most=3_650
    )
    store_events: str = _setting("full", "full, or metadata: bodies are dropped once delivered.")

    # ------------------------------------------------------------------------------------------------ API limits
    request_bytes_max: int = _setting(256 * KIB, "Largest API request; the largest honest source is 20 KiB.", least=1)
    page_limit_max: int = _setting(500, "Largest page of a list.", least=1)
    search_turn_s: float = _setting(
        0.5, "One answer of a search looks so long, then says how far back it came.", least=0.05, most=20
    )
    tails_max: int = _setting(20, "Live tails at a time in one process; each looks once a second.", least=0)
    dry_run_records_max: int = _setting(100_000, "Stored records one dry run of a filter may try.", least=1)
    dry_run_s: float = _setting(10.0, "How long it may take; 100,000 records take some 2 s.", least=0.1)

    # ------------------------------------------------------------------------------------------------- dashboard
    session_idle_s: float = _setting(12 * HOUR_S, "A dashboard's session ends so long after its last use.", least=60)
    session_age_s_max: float = _setting(7 * DAY_S, "And so long after it began, used or not.", least=60)

    # --------------------------------------------------------------------------------------------- polling limits
    look_back_s: float = _setting(DAY_S, "How far before the watermark every poll lists.", least=0)
    reconcile_days: int = _setting(30, "How far back the slow pass lists: AWS retries that long.", least=1)
    reconcile_every_s: float = _setting(6 * HOUR_S, "How often the slow pass runs per prefix.", least=1)
    aws_concurrency: int = _setting(16, "AWS requests in flight for one source.", least=1, most=256)
    aws_timeout_s: float = _setting(60.0, "One AWS exchange as a whole; 50 MB at 1 MB/s.", least=1)
    sqs_messages_max: int = _setting(
        1_000, "Messages one look at a queue takes; about 10 s of them, so that its lease is not outlived.", least=10
    )
    sqs_visibility_s: int = _setting(
        120,
        "A worker's claim on messages; keeping ten takes a second, or one slow AWS exchange.",
        least=10,
        most=43_200,
    )
    sqs_wait_s: int = _setting(20, "How long to wait at an empty queue between polls.", least=1, most=20)
    discovery_prefixes_max: int = _setting(20_000, "Account and region prefixes one source may have.", least=1)
    preflight_timeout_s: float = _setting(40.0, "What trying one way in of a source may take.", least=1)
    poll_lease_s: float = _setting(
        30.0, "A worker's claim on looking: two that look at once are waste, not harm; a dead one's ends so.", least=1
    )
    backoff_s_max: float = _setting(900.0, "Longest wait after failed polls and reads.", least=1)

    # ---------------------------------------------------------------------------------------------- intake limits
    object_bytes_max: int = _setting(100 * MIB, "Largest object read; CloudTrail writes at most 50 MB.", least=1)
    inflate_ratio_max: int = _setting(200, "Most that gzip may inflate; real logs reach 20, bombs 1,000.", least=2)
    small_unit_bytes_max: int = _setting(
        16 * MIB, "Inflated size up to which a unit is read whole; larger ones go in slices.", least=KIB
    )
    slice_records_max: int = _setting(
        6_000, "Records in one intake transaction of a large unit; twice as many take some 40 MB more.", least=1
    )
    group_units_max: int = _setting(200, "Units read together in one intake transaction.", least=1)
    group_bytes_max: int = _setting(
        MIB, "Their listed (compressed) bytes; two groups are under way, and some ten times as much in memory.", least=1
    )
    record_bytes_max: int = _setting(2 * MIB, "Largest record; CloudTrail's limit is 256 KB.", least=KIB)
    bad_records_max: int = _setting(
        10_000, "Bad records one unit may have; beyond it the unit as a whole goes to quarantine.", least=0
    )
    record_depth_max: int = _setting(200, "Deepest nesting of a record; real ones reach 11.", least=1, most=900)
    unit_refusals_max: int = _setting(
        20, "Reads of one unit that may be refused for a reason unknown to us, some two hours of them.", least=1
    )
    turn_s: float = _setting(60.0, "A source is read or delivered so long before another's turn comes.", least=0)
    backfill_units_max: int = _setting(
        2_000, "Units a backfill may have found and not read; it lists on when there are fewer.", least=1
    )
    backfill_batches_max: int = _setting(
        16, "Batches of a source that wait when its backfill reads on; a few seconds of sending.", least=1
    )
    backfill_jobs: int = _setting(
        1, "Sources backfilled at a time; the rest of the processor is for new logs.", least=1
    )
    hold_unverified_s_max: float = _setting(
        26 * HOUR_S,
        "So long log files wait for a digest before that is told; digests are up to 2 hours late, in incidents a day.",
        least=HOUR_S,
    )
    unit_lease_s: float = _setting(120.0, "A worker's claim on units; beyond the slowest read.", least=1)
    laid_out_bytes_max: int = _setting(
        16 * MIB, "Bodies just frozen, held so that they need not be inflated to be sent: some two groups.", least=0
    )
    outbox_bytes_max: int = _setting(
        512 * MIB, "Stored bytes a source may have waiting; beyond it, intake stops and units wait as keys.", least=1
    )
    dead_letter_bytes_max: int = _setting(
        1024 * MIB, "Stored bytes of dead letters a source may have; beyond it, its delivery pauses.", least=1
    )

    # --------------------------------------------------------------------------------------- completeness limits
    completeness_days_max: int = _setting(31, "Days one question about completeness may span.", least=1)
    completeness_turn_s: float = _setting(15.0, "How long a page of the answer takes, but for its last hours.", least=0)
    completeness_details_max: int = _setting(100, "Log files that one hour names; all are counted.", least=1)

    # -------------------------------------------------------------------------------------------- delivery limits
    in_flight_max: int = _setting(4, "Requests in flight to one callback.", least=1, most=256)
    dns_timeout_s: float = _setting(3.0, "Resolving a name.", least=0.1)
    connect_timeout_s: float = _setting(5.0, "Opening a connection.", least=0.1)
    tls_timeout_s: float = _setting(5.0, "The TLS handshake.", least=0.1)
    callback_timeout_s: float = _setting(30.0, "One delivery as a whole, answer body included.", least=1)
    answer_bytes_max: int = _setting(64 * KIB, "How much of a callback's answer is read.", least=0)
    answer_kept_bytes_max: int = _setting(4 * KIB, "How much of it is kept with the attempt.", least=0)
    batch_lease_s: float = _setting(60.0, "A worker's claim on a batch; beyond callback_timeout_s.", least=1)
    give_up_after_s: float = _setting(72 * HOUR_S, "Age at which a batch becomes a dead letter.", least=1)
    give_up_attempts_min: int = _setting(6, "And at least so many attempts.", least=1)
    idle_connection_s: float = _setting(30.0, "Keep-alive connections idle for longer are closed.", least=0)
    idle_connections_max: int = _setting(64, "Idle keep-alive connections kept in all.", least=0)
    secret_overlap_s: float = _setting(DAY_S, "A rotated signing secret goes on signing so long.", least=0)

    # ---------------------------------------------------------------------------------------------- the engine room
    workers: int = _setting(
        1,
        "Processes that share the work of trailhook serve: 1 is all in one, more pay where there are as many cores.",
        least=1,
        most=64,
    )
    sweep_every_s: float = _setting(2.0, "How often due work is looked for.", least=0.05)
    clean_every_s: float = _setting(60.0, "How often the janitor looks.", least=1)
    poll_jobs: int = _setting(8, "Sources polled at a time.", least=1)
    listen_jobs: int = _setting(64, "Queues waited at at a time; a wait costs one idle connection.", least=1)
    intake_jobs: int = _setting(2, "Sources read at a time.", least=1)
    lookup_jobs: int = _setting(
        64, "Sources of LookupEvents read at a time; most of it is waiting for turns at AWS.", least=1
    )
    deliver_jobs: int = _setting(64, "Sources delivered at a time.", least=1)
    job_timeout_s: float = _setting(
        3_600.0, "A job that is not done by then hangs and is cancelled; a backlog is then taken up anew.", least=60
    )
    shutdown_s: float = _setting(20.0, "How long requests in flight may take to end at a stop.", least=0)

    @property
    def embedded(self) -> bool:
        """One process, SQLite, in-process queue."""
        return self.mongodb_url is None and self.redis_url is None

    @property
    def shared(self) -> bool:
        """MongoDB and Redis, and any number of processes on any number of machines."""
        return self.mongodb_url is not None and self.redis_url is not None

    @property
    def reading_processes(self) -> int:
        """How many read for this one: none where `workers` are processes that do everything.

        All of them, for the process that owns the store takes half of what one of them does.
        """
        return 0 if self.shared or self.workers == 1 else self.workers


API_TOKEN_CHARACTERS_MIN = 20
"""Of a bootstrap token: below that it could be guessed."""
_CHOICES = {
    "store_events": ("full", "metadata"),
    "log_format": ("console", "json"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}
_HIDDEN = frozenset({"master_keys", "api_token", "mongodb_url", "redis_url", "notify_urls", "otlp_url"})
"""Settings whose values are never shown."""


def load(environ: Mapping[str, str], *, config: Path | None = None) -> Settings:
    """Read the settings. `config` is the file to read, else the one that `TRAILHOOK_CONFIG` names, else
    `trailhook.toml` here, if it exists.

    Raises SettingsError naming the setting, never its value.
    """
    named = config or environ.get("TRAILHOOK_CONFIG")
    values = {**_from_file(Path(named or CONFIG_FILE), optional=not named), **_from_env(environ)}
    fields = {each.name: each for each in dataclasses.fields(Settings)}
    hints = typing.get_type_hints(Settings)
    settings = Settings(**{name: _convert(fields[name], hints[name], value) for name, value in values.items()})
    _check_together(settings)
    return settings


def is_secret(name: str) -> bool:
    """Whether the value of the setting with this (lower-case) name is never shown."""
    return name in _HIDDEN


def shown(settings: Settings) -> dict[str, str]:
    """Every setting as text, secrets as `***`: for logs and `trailhook doctor`."""
    return {
        each.name: "***" if each.name in _HIDDEN and getattr(settings, each.name) else str(getattr(settings, each.name))
        for each in dataclasses.fields(settings)
    }


def _from_file(path: Path, *, optional: bool) -> dict[str, Any]:
    if optional and not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {_why(error)}") from error
    known = {each.name for each in dataclasses.fields(Settings)}
    _refuse_unknown(sorted(set(values) - known), f" in {path}")
    return values


def _from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    known = {PREFIX + each.name.upper(): each.name for each in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in CLIENT_NAMES or name.startswith(TEST_PREFIX):
            continue
        if name in known:
            values[known[name]] = value
        elif (plain := name.removesuffix("_FILE")) in known and plain != name:
            values.setdefault(known[plain], _content(name, value))
        else:
            unknown.append(name)
    _refuse_unknown(sorted(unknown))
    return values


def _refuse_unknown(unknown: Sequence[str], where: str = "") -> None:
    if not unknown:
        return
    names = [each.name for each in dataclasses.fields(Settings)]
    near = difflib.get_close_matches(unknown[0].removeprefix(PREFIX).lower(), names, n=1)
    hint = f"; is {PREFIX}{near[0].upper()} meant?" if near else ""
    verb = "is not a setting" if len(unknown) == 1 else "are not settings"
    raise SettingsError(f"{', '.join(unknown)}{where} {verb} of Trailhook{hint}")


def _content(name: str, path: str) -> str:
    try:
        content = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} names a file that cannot be read: {_why(error)}") from error
    if not content:
        raise SettingsError(f"{name} names a file that is empty")
    return content


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"


def _convert(spec: "dataclasses.Field[Any]", hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if value in ("", None):
            return None
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    kind = typing.get_origin(hint) or hint
    try:
        converted = _PARSERS[kind](value)
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{PREFIX}{spec.name.upper()} must be {_WORDS[kind]}") from error
    least, most = spec.metadata["least"], spec.metadata["most"]
    if (least is not None and converted < least) or (most is not None and converted > most):
        span = f"at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise SettingsError(f"{PREFIX}{spec.name.upper()} must be {span}")
    if spec.name in _CHOICES and converted not in _CHOICES[spec.name]:
        raise SettingsError(f"{PREFIX}{spec.name.upper()} must be one of {', '.join(_CHOICES[spec.name])}")
    return converted


def _parse_bool(value: Any) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]


def _parse_list(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return tuple(part for each in parts if (part := str(each).strip()))


def _parse_int(value: Any) -> int:
    return int(str(value).replace("_", ""))


def _parse_float(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


_PARSERS: dict[Any, Callable[[Any], Any]] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    Path: lambda value: Path(str(value)),
    tuple: _parse_list,
}
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    tuple: "a comma-separated list",
}


def _check_together(settings: Settings) -> None:
    if settings.api_token is not None and not _is_token(settings.api_token):
        raise SettingsError(f"TRAILHOOK_API_TOKEN must be {API_TOKEN_CHARACTERS_MIN} or more visible ASCII characters")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("TRAILHOOK_TLS_CERT and TRAILHOOK_TLS_KEY go together")
    loopback = settings.host in ("127.0.0.1", "::1", "localhost")
    if not loopback and settings.tls_cert is None and not settings.behind_proxy:
        raise SettingsError(
            "TRAILHOOK_HOST beyond loopback would send tokens in the clear: set TRAILHOOK_TLS_CERT and "
            "TRAILHOOK_TLS_KEY, or TRAILHOOK_BEHIND_PROXY=true where a proxy in front ends TLS"
        )
    if settings.batch_lease_s <= settings.callback_timeout_s:
        raise SettingsError("TRAILHOOK_BATCH_LEASE_S must be longer than TRAILHOOK_CALLBACK_TIMEOUT_S")


def _is_token(text: str) -> bool:
    return len(text) >= API_TOKEN_CHARACTERS_MIN and all("!" <= each <= "~" for each in text)
