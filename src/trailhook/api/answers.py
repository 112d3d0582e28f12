"""What is told of sources, and how all answers are: every field always there, null for nothing to say, no secrets."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trailhook import conditions, silence
from trailhook.api.schemas import SOURCE_TYPE
from trailhook.clock import rfc3339
from trailhook.model import Condition, Counts, Lane, Source, SourceTotals
from trailhook.silence import Heard
from trailhook.store.base import Removed

HIDDEN = "***"
REGIONS_MAX = 500
"""Accounts and regions in one answer."""


class View(BaseModel):
    """An answer or a part of one."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def time_or_none(at: float | None) -> str | None:
    """`at` as the API writes time."""
    return None if at is None else rfc3339(at)


# ---------------------------------------------------------------------------------------------------- sources


class ConditionView(View):
    """How fetching or delivering is, why, what to do, and since when."""

    state: str
    reason: str
    remedy: str
    since: str | None

    @classmethod
    def of(cls, condition: Condition) -> Self:
        return cls(
            state=condition.state,
            reason=condition.reason,
            remedy=condition.remedy,
            since=rfc3339(condition.since_at) if condition.since_at else None,
        )


class CredentialsView(View):
    """What may be shown of credentials: the last four characters of the access key id."""

    access_key_id: str | None = Field(examples=["****WXYZ"])
    role_arn: str | None
    region: str
    expiration: str | None = Field(description="When the session token ends, if that was told.")


class FilterView(View):
    """Which events are forwarded, and which of their values are not."""

    include: dict[str, tuple[str, ...]]
    exclude: dict[str, tuple[str, ...]]
    redact: tuple[str, ...]


class DeliveryView(ConditionView):
    """How events are sent, and how that goes; the values of headers are not shown."""

    format: str
    event_format: str
    max_events: int
    max_bytes: int
    compression: str
    headers: dict[str, str] = Field(examples=[{"Authorization": HIDDEN}])
    ordered: bool

    @classmethod
    def of_source(cls, source: Source, condition: Condition) -> Self:
        options = source.delivery
        return cls(
            **ConditionView.of(condition).model_dump(),
            format=options.format,
            event_format=options.event_format,
            max_events=options.max_events,
            max_bytes=options.max_bytes,
            compression=options.compression,
            headers=dict.fromkeys(options.header_names, HIDDEN),
            ordered=options.ordered,
        )


class SourceView(View):
    """A source: what it was given, and how it is."""

    id: str
    source_type: Literal["aws_cloudtrail"] = SOURCE_TYPE
    name: str
    status: str = Field(description=f"The worst of `fetch` and `delivery`: {', '.join(conditions.SEVERITY)}.")
    credentials: CredentialsView
    log_fetch_interval: int
    callback_url: str
    s3_bucket: str | None
    s3_prefix: str
    intake: tuple[str, ...]
    regions: tuple[str, ...]
    sqs_queue_url: str | None
    ca_certificate: str | None
    endpoint_url: str | None
    start_from: str
    filter: FilterView | None
    verify_integrity: bool
    hold_until_verified: bool
    fetch: ConditionView
    delivery: DeliveryView
    silence: ConditionView = Field(description="`active`, `silent` or `stalled`: apart from `status`.")
    created_at: str
    last_fetch_at: str | None
    next_fetch_at: str | None

    @classmethod
    def of(cls, source: Source, lane: Lane, **more: Any) -> Self:
        """`more` are the fields that a subclass adds."""
        return cls(
            id=source.id,
            name=source.name,
            status=conditions.overall(source, lane),
            credentials=CredentialsView(
                access_key_id=f"****{source.access_key_last4}" if source.access_key_last4 else None,
                role_arn=source.role_arn,
                region=source.region,
                expiration=time_or_none(source.credentials_expire_at),
            ),
            log_fetch_interval=source.interval_s,
            callback_url=source.callback_url,
            s3_bucket=source.bucket,
            s3_prefix=source.prefix,
            intake=source.intakes,
            regions=source.regions,
            sqs_queue_url=source.sqs_queue_url,
            ca_certificate=source.ca_certificate,
            endpoint_url=source.endpoint_url,
            start_from=rfc3339(source.start_from_at) if source.start_from_at else "beginning",
            filter=FilterView(**_plain(source.filter)) if source.filter else None,
            verify_integrity=source.verify_integrity,
            hold_until_verified=source.hold_until_verified,
            fetch=ConditionView.of(conditions.fetch_condition(source)),
            delivery=DeliveryView.of_source(source, conditions.delivery_condition(source, lane)),
            silence=ConditionView.of(source.silence.condition),
            created_at=rfc3339(source.created_at),
            last_fetch_at=time_or_none(source.last_fetch_at),
            next_fetch_at=None if source.paused_at is not None else rfc3339(source.next_fetch_at),
            **more,
        )


class SourceAdded(SourceView):
    """A new source, with the secret that its deliveries are signed with: keep it, it is shown this once."""

    signing_secret: str = Field(examples=["whsec_…"])
    warnings: list[str]


class SecretRotated(SourceView):
    """A source with its new signing secret, shown this once. The former signs beside it until `previousUntil`."""

    signing_secret: str = Field(examples=["whsec_…"])
    previous_until: str


class SourceList(View):
    """A page of sources, those at work first."""

    sources: list[SourceView]
    next: str | None


class Discarded(View):
    """What went undelivered with a source: records frozen, records given up, units not yet read."""

    waiting: int
    dead_lettered: int
    units: int


class SourceRemoved(View):
    """A source is gone. `lastEventTime` is where a later registration may start from."""

    id: str
    removed: Literal[True] = True
    discarded: Discarded
    last_event_time: str | None

    @classmethod
    def of(cls, source_id: str, removed: Removed) -> Self:
        discarded = Discarded(waiting=removed.waiting, dead_lettered=removed.dead_lettered, units=removed.units)
        return cls(id=source_id, discarded=discarded, last_event_time=time_or_none(removed.last_event_at))


class CountsView(View):
    """Records. `read` is the sum of all the others."""

    read: int
    sent: int
    filtered: int
    duplicate: int
    quarantined: int
    dead_lettered: int
    discarded: int
    waiting: int

    @classmethod
    def of(cls, counts: Counts) -> Self:
        return cls(**_plain(counts))


class UnitsView(View):
    """Log objects known, by state; `ignored` are keys that are no logs, by kind."""

    waiting: int
    done: int
    quarantined: int
    ignored: dict[str, int]

    @classmethod
    def of(cls, units: dict[str, int]) -> Self:
        ignored = {name.partition(":")[2]: count for name, count in units.items() if name.startswith("ignored:")}
        states = {name: units.get(name, 0) for name in ("waiting", "done", "quarantined")}
        return cls(**states, ignored=ignored)


class Pile(View):
    """Batches, and the bytes they take."""

    batches: int
    bytes: int


class RegionView(View):
    """How an account and region is heard. `silentAfterSeconds` is null while it is not known well enough."""

    account: str
    region: str
    last_file_at: str = Field(description="By the time in its name.")
    silent: bool
    silent_after_seconds: float | None


class SilenceView(ConditionView):
    """Whether CloudTrail has stopped (`silent`), or Trailhook (`stalled`); silent regions first."""

    regions: list[RegionView]
    more: int = Field(description="Regions left out here.")

    @classmethod
    def of_source(cls, source: Source, places: Sequence[Heard], now: float, silence_after_s: float) -> Self:
        quiet = {each.name for each in silence.silent(places, now, silence_after_s)}
        ranked = sorted(places, key=lambda each: each.name not in quiet)
        shown = [
            RegionView(
                account=each.account,
                region=each.region,
                last_file_at=rfc3339(each.rhythm.last_at),
                silent=each.name in quiet,
                silent_after_seconds=silence.patience_s(each.rhythm, silence_after_s),
            )
            for each in ranked[:REGIONS_MAX]
        ]
        condition = ConditionView.of(source.silence.condition)
        return cls(**condition.model_dump(), regions=shown, more=len(places) - len(shown))


class SourceStatus(View):
    """How a source is and what became of everything it brought."""

    id: str
    status: str
    fetch: ConditionView
    delivery: ConditionView
    counts: CountsView
    balanced: bool = Field(description="Whether the counts add up.")
    units: UnitsView
    outbox: Pile
    dead_letters: Pile
    replayed: int = Field(description="Events that the receiver took once more on a user's word; in no other count.")
    lag_seconds: float = Field(description="Age of the oldest event known and not yet sent.")
    silence: SilenceView
    last_error: str | None
    last_fetch_at: str | None
    next_fetch_at: str | None

    @classmethod
    def of(cls, source: Source, lane: Lane, totals: SourceTotals, silence: SilenceView, now: float) -> Self:
        fetch, delivery = conditions.fetch_state(source), conditions.delivery_state(source, lane)
        worst = conditions.worse(fetch, delivery)
        return cls(
            id=source.id,
            status=conditions.overall(source, lane),
            fetch=ConditionView.of(conditions.fetch_condition(source)),
            delivery=ConditionView.of(conditions.delivery_condition(source, lane)),
            counts=CountsView.of(totals.counts),
            balanced=totals.counts.balanced,
            units=UnitsView.of(totals.units),
            outbox=Pile(batches=totals.waiting_batches, bytes=totals.waiting_bytes),
            dead_letters=Pile(batches=totals.dead_batches, bytes=totals.dead_bytes),
            replayed=totals.replayed,
            lag_seconds=lag_s(totals, now),
            silence=silence,
            last_error=None if worst.state == conditions.ACTIVE else worst.reason,
            last_fetch_at=time_or_none(source.last_fetch_at),
            next_fetch_at=None if source.paused_at is not None else rfc3339(source.next_fetch_at),
        )


def lag_s(totals: SourceTotals, now: float) -> float:
    """Age of the oldest event known and not yet sent, 0 if there is none."""
    return 0.0 if totals.oldest_waiting_at is None else max(0.0, now - totals.oldest_waiting_at)


def _plain(value: Any) -> dict[str, Any]:
    """A value's fields by name."""
    return {name: getattr(value, name) for name in value.__struct_fields__}
