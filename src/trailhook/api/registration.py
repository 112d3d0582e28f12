"""From what was given to a `Source`, and from a source and what was given to the changed one: pure but for sealing."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from trailhook import conditions
from trailhook.api.problems import BadField, BadRequest
from trailhook.api.schemas import AddSource, ChangeSource, CredentialsGiven, DeliveryGiven, FilterGiven, SourceGiven
from trailhook.clock import from_rfc3339
from trailhook.delivery.breaker import lane_key
from trailhook.errors import FetchState
from trailhook.model import Condition, Credentials, DeliveryOptions, Filter, Source, Value
from trailhook.security.secrets import SigningSecret, SourceSecrets, new_signing_secret
from trailhook.settings import DAY_S

LAST_CHARACTERS = 4
"""How much of an access key id is kept in the clear, to tell keys apart."""


class Seed(Value, frozen=True, kw_only=True):
    """All that is not in the body of a registration: with the same seed the same body makes the same source."""

    source_id: str
    signing: SigningSecret
    created_at: float


def new_seed(now: float) -> Seed:
    """A new identity and a new signing secret."""
    return Seed(source_id=str(uuid.uuid4()), signing=new_signing_secret(), created_at=now)


def new_source(given: AddSource, seed: Seed, secrets: SourceSecrets) -> Source:
    """The source that `given` describes, due at once. Raises `BadRequest`."""
    headers = _headers(given.delivery)
    intakes = _intakes(given.intake, given.s3_bucket, given.sqs_queue_url)
    sealed = {
        "credentials": secrets.seal_credentials(seed.source_id, _credentials(given.credentials)),
        "signing": secrets.seal_signing(seed.source_id, [seed.signing]),
    }
    if headers:
        sealed["headers"] = secrets.seal_headers(seed.source_id, headers)
    return _holding(
        given,
        Source(
            id=seed.source_id,
            name=given.name or given.s3_bucket or given.credentials.region,
            created_at=seed.created_at,
            intakes=intakes,
            region=given.credentials.region,
            access_key_last4=_last4(given.credentials),
            credentials_expire_at=_expires_at(given.credentials),
            role_arn=given.credentials.role_arn,
            bucket=given.s3_bucket,
            prefix=given.s3_prefix or "",
            endpoint_url=given.endpoint_url,
            sqs_queue_url=given.sqs_queue_url,
            regions=tuple(dict.fromkeys(given.regions or ())),
            ca_certificate=given.ca_certificate,
            interval_s=given.log_fetch_interval,
            callback_url=given.callback_url,
            start_from_at=_start_at(given.start_from, seed.created_at),
            filter=filter_of(given.filter) if given.filter else None,
            verify_integrity=bool(given.verify_integrity),
            hold_until_verified=bool(given.hold_until_verified),
            delivery=_delivery(DeliveryOptions(), given.delivery),
            lane=lane_key(given.callback_url, headers, given.ca_certificate),
            sealed=sealed,
            fetch=Condition(state=FetchState.ACTIVE, since_at=seed.created_at),
            reading=Condition(state=FetchState.ACTIVE, since_at=seed.created_at),
            next_fetch_at=seed.created_at,
        ),
    )


def changed_source(source: Source, given: ChangeSource, secrets: SourceSecrets, now: float) -> Source:
    """`source` with the changes of `given`; the very same if there are none. Raises `BadRequest`, `KeyUnavailable`.

    A change of where or as whom logs are fetched makes the source active and due: whatever was wrong may be right.
    """
    after = source.but(**_plain_changes(given), **_intake_changes(source, given))
    if given.credentials is not None:
        after = _with_credentials(after, given.credentials, secrets)
    if given.start_from is not None:
        after = after.but(start_from_at=_start_at(given.start_from, now), next_fetch_at=now)
    if given.log_fetch_interval is not None:
        after = after.but(next_fetch_at=min(after.next_fetch_at, now + given.log_fetch_interval))
    after = _holding(given, _with_lane(source, after, given, secrets), now)
    if after == source:
        return source
    return _afresh(after, now) if _fetching(after) != _fetching(source) else after


# ------------------------------------------------------------------------------------------------ pieces of both


def _holding(given: SourceGiven, source: Source, now: float = 0.0) -> Source:
    """What waits for digests keeps its hashes, too, and has a bucket to find them in. Raises `BadRequest`."""
    if not source.hold_until_verified:
        active = Condition(state=FetchState.ACTIVE, since_at=now)
        return source.but(unverified=conditions.entered(source.unverified, active))
    if source.bucket is None:
        raise BadRequest(BadField(field="holdUntilVerified", message="needs s3Bucket: there the digests are"))
    if given.verify_integrity is False:
        raise BadRequest(BadField(field="verifyIntegrity", message="goes with holdUntilVerified: turn that off, too"))
    return source.but(verify_integrity=True)


def _credentials(given: CredentialsGiven) -> Credentials:
    return Credentials(
        access_key_id=given.access_key_id,
        secret_access_key=given.secret_access_key.get_secret_value() if given.secret_access_key else None,
        session_token=given.session_token.get_secret_value() if given.session_token else None,
        role_arn=given.role_arn,
        external_id=given.external_id.get_secret_value() if given.external_id else None,
    )


def _last4(given: CredentialsGiven) -> str:
    return (given.access_key_id or "")[-LAST_CHARACTERS:]


def _expires_at(given: CredentialsGiven) -> float | None:
    return from_rfc3339(given.expiration) if given.expiration else None


def _headers(given: DeliveryGiven | None) -> dict[str, str]:
    named = (given.headers if given else None) or {}
    return {name: value.get_secret_value() for name, value in named.items()}


def filter_of(given: FilterGiven) -> Filter:
    """The filter that was given."""
    redact = tuple(dict.fromkeys(given.redact))
    return Filter(include=_patterns(given.include), exclude=_patterns(given.exclude), redact=redact)


def _patterns(fields: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {path: tuple(patterns) for path, patterns in fields.items()}


def _delivery(options: DeliveryOptions, given: DeliveryGiven | None) -> DeliveryOptions:
    """`options` with what was given; null is the default. Headers are sealed, only their names are here."""
    if given is None:
        return options
    default = DeliveryOptions()
    changes: dict[str, Any] = {}
    for name in given.model_fields_set - {"headers"}:
        value = getattr(given, name)
        changes[name] = getattr(default, name) if value is None else value
    if "headers" in given.model_fields_set:
        changes["header_names"] = tuple(given.headers or ())
    return options.but(**changes)


def _start_at(given: str | None, now: float) -> float:
    match given:
        case None:
            return now - DAY_S
        case "now":
            return now
        case "beginning":
            return 0.0
        case _:
            return max(0.0, from_rfc3339(given))


# ------------------------------------------------------------------------------------------------------ intakes


def _suggested(bucket: str | None, queue_url: str | None) -> tuple[str, ...]:
    """The ways in that a source's fields ask for when it does not say."""
    found = [name for name, field in (("sqs", queue_url), ("s3", bucket)) if field is not None]
    return tuple(found) or ("lookup",)


def _intakes(given: Sequence[str] | None, bucket: str | None, queue_url: str | None) -> tuple[str, ...]:
    """The ways in, each with what it needs. Raises `BadRequest`."""
    intakes = _suggested(bucket, queue_url) if given is None else tuple(dict.fromkeys(given))
    errors = []
    if "s3" in intakes and bucket is None:
        errors.append(BadField(field="s3Bucket", message="is missing: the intake s3 needs it"))
    if "sqs" in intakes and queue_url is None:
        errors.append(BadField(field="sqsQueueUrl", message="is missing: the intake sqs needs it"))
    if errors:
        raise BadRequest(*errors)
    return intakes


# ------------------------------------------------------------------------------------------------------ changes

_FIELDS = {
    "name": "name",
    "s3_bucket": "bucket",
    "s3_prefix": "prefix",
    "regions": "regions",
    "sqs_queue_url": "sqs_queue_url",
    "ca_certificate": "ca_certificate",
    "endpoint_url": "endpoint_url",
    "log_fetch_interval": "interval_s",
    "callback_url": "callback_url",
    "verify_integrity": "verify_integrity",
    "hold_until_verified": "hold_until_verified",
}
"""Fields that are taken over as they are, by their names in a source."""
_CLEARED = {"prefix": "", "regions": (), "verify_integrity": False, "hold_until_verified": False}
"""What null means where it is not None."""


def _plain_changes(given: ChangeSource) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in given.model_fields_set & _FIELDS.keys():
        field, value = _FIELDS[name], getattr(given, name)
        if field == "regions" and value is not None:
            value = tuple(dict.fromkeys(value))
        changes[field] = _CLEARED.get(field) if value is None else value
    if "filter" in given.model_fields_set:
        changes["filter"] = filter_of(given.filter) if given.filter else None
    return changes


def _intake_changes(source: Source, given: ChangeSource) -> dict[str, Any]:
    """The ways in go with the fields that suggest them, unless a user once named them."""
    named: Sequence[str] | None = given.intake
    if "intake" not in given.model_fields_set and source.intakes != _suggested(source.bucket, source.sqs_queue_url):
        named = source.intakes
    bucket = given.s3_bucket if "s3_bucket" in given.model_fields_set else source.bucket
    queue_url = given.sqs_queue_url if "sqs_queue_url" in given.model_fields_set else source.sqs_queue_url
    return {"intakes": _intakes(named, bucket, queue_url)}


def _with_credentials(source: Source, given: CredentialsGiven, secrets: SourceSecrets) -> Source:
    """The region alone, or all of them: half of an old pair with half of a new one would be nobody's."""
    region = getattr(given, "region", None) or source.region
    if given.model_fields_set <= {"region"}:
        return source.but(region=region)
    return source.but(
        region=region,
        access_key_last4=_last4(given),
        credentials_expire_at=_expires_at(given),
        role_arn=given.role_arn,
        sealed={**source.sealed, "credentials": secrets.seal_credentials(source.id, _credentials(given))},
    )


def _with_lane(before: Source, after: Source, given: ChangeSource, secrets: SourceSecrets) -> Source:
    """Headers are for one host's eyes: they do not go along to another."""
    headers_given = given.delivery is not None and "headers" in given.delivery.model_fields_set
    moved = _origin(before.callback_url) != _origin(after.callback_url)
    after = after.but(delivery=_delivery(after.delivery, given.delivery))
    if headers_given or (moved and before.delivery.header_names):
        headers = _headers(given.delivery)
        sealed = {name: value for name, value in after.sealed.items() if name != "headers"}
        if headers:
            sealed["headers"] = secrets.seal_headers(after.id, headers)
        after = after.but(sealed=sealed, delivery=after.delivery.but(header_names=tuple(headers)))
    elif (before.callback_url, before.ca_certificate) == (after.callback_url, after.ca_certificate):
        return after
    return after.but(lane=lane_key(after.callback_url, secrets.headers(after), after.ca_certificate))


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _fetching(source: Source) -> tuple[object, ...]:
    """Everything that decides whether and what it can fetch."""
    place = (source.bucket, source.prefix, source.endpoint_url, source.region, source.regions, source.sqs_queue_url)
    return (*place, source.intakes, source.sealed["credentials"])


def _afresh(source: Source, now: float) -> Source:
    active = Condition(state=FetchState.ACTIVE, since_at=now)
    return source.but(
        fetch=conditions.entered(source.fetch, active),
        reading=conditions.entered(source.reading, active),
        behind_s=0.0,
        failures=0,
        next_fetch_at=now,
    )
