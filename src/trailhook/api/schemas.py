"""What may be sent: each field with its rule, and a sentence for whoever breaks it.

Rules never repeat a value. Those that concern where we would connect ask the guards, which come as context.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NoReturn, Self

from cryptography import x509
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from trailhook.clock import from_rfc3339
from trailhook.errors import Refused
from trailhook.model import Compression, EventFormat, Format
from trailhook.net.guard import Guard
from trailhook.security.tokens import Scope
from trailhook.sources.sqs_client import queue_region

KIB = 1024
SOURCE_TYPE: Final = "aws_cloudtrail"
QUEUE_URL = "must be like https://sqs.us-east-1.amazonaws.com/123456789012/NAME"
EXAMPLE: dict[str, JsonValue] = {
    "sourceType": SOURCE_TYPE,
    "name": "prod",
    "credentials": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "…", "region": "us-east-1"},
    "logFetchInterval": 300,
    "callbackUrl": "https://example.com/webhook",
    "s3Bucket": "cloudtrail-logs",
    "s3Prefix": "AWSLogs/123456789012/CloudTrail/",
}


@dataclass(frozen=True, slots=True)
class Guards:
    """The context of every validation: who judges the URLs."""

    callbacks: Guard
    aws: Guard


class Given(BaseModel):
    """A body: nothing unknown, nothing converted, nothing of it in an error's text."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


# ------------------------------------------------------------------------------------------------------- rules


def _broken(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})


def _fail(field: str, sentence: str) -> NoReturn:
    """Refuse `field` from within a rule about several."""
    detail = InitErrorDetails(type=_broken(sentence), loc=(field,), input=None)
    raise ValidationError.from_exception_data("together", [detail])


def _must(holds: Callable[[str], object], sentence: str) -> AfterValidator:
    """A rule on text, secret or not."""

    def check(value: Any) -> Any:
        if not holds(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise _broken(sentence)
        return value

    return AfterValidator(check)


def _like(pattern: str, sentence: str) -> AfterValidator:
    return _must(re.compile(pattern, re.ASCII).fullmatch, sentence)


def _is_bucket(text: str) -> bool:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
    plain = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text)
    return bool(plain) and ".." not in text and not re.fullmatch(r"\d+(\.\d+){3}", text)


def _is_prefix(text: str) -> bool:
    return len(text.encode()) <= KIB and _is_printable(text)


def _is_printable(text: str) -> bool:
    return not re.search(r"[\x00-\x1f\x7f-\x9f]", text)


def _is_certificate(text: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _is_start(text: str) -> bool:
    return text in ("now", "beginning") or _is_time(text)


def _is_time(text: str) -> bool:
    try:
        from_rfc3339(text)
    except (ValueError, OverflowError):
        return False
    return True


def _callback(url: str, info: "ValidationInfo[Guards]") -> str:
    return _guarded(url, info.context.callbacks)


def _endpoint(url: str, info: "ValidationInfo[Guards]") -> str:
    return _guarded(url, info.context.aws)


def _queue(url: str, info: "ValidationInfo[Guards]") -> str:
    """A host of SQS, or one that the settings let `endpointUrl` name: not just any service of AWS."""
    if queue_region(url) is None:
        try:
            Guard(only_aws=True).check_url(url)
        except Refused:
            return _guarded(url, info.context.aws)
        raise _broken(QUEUE_URL)
    return _guarded(url, info.context.aws)


def _guarded(url: str, guard: Guard) -> str:
    try:
        guard.check_url(url)
    except Refused as error:
        raise _broken(str(error)) from None
    return url


Name = Annotated[
    str,
    Field(min_length=1, max_length=200),
    _must(lambda text: text.strip() and _is_printable(text), "must be printable text"),
]
Region = Annotated[
    str, _like(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-\d{1,2}", "must be the code of a region, such as us-east-1")
]
AccessKeyId = Annotated[str, _like(r"\w{16,128}", "must be an access key id: 16 to 128 letters and digits")]
SecretAccessKey = Annotated[SecretStr, _like(r"[!-~]{8,256}", "must be 8 to 256 characters without spaces")]
SessionToken = Annotated[SecretStr, _like(r"[!-~]{16,8192}", "must be 16 to 8,192 characters without spaces")]
Expiration = Annotated[
    str, Field(max_length=40), _must(_is_time, "must be a time with its offset, such as 2026-01-31T12:00:00Z")
]
RoleArn = Annotated[
    str,
    _like(r"arn:aws[-a-z]*:iam::\d{12}:role/[\w+=,.@/-]{1,576}", "must be like arn:aws:iam::123456789012:role/NAME"),
]
ExternalId = Annotated[SecretStr, _like(r"[\w+=,.@:/-]{2,1224}", "must be 2 to 1,224 letters, digits or +=,.@:/-")]
Bucket = Annotated[str, _must(_is_bucket, "must be the name of an S3 bucket: 3 to 63 of a-z, 0-9, dots and hyphens")]
Prefix = Annotated[str, _must(_is_prefix, "must be at most 1,024 bytes without control characters")]
QueueUrl = Annotated[
    str,
    _like(r"https?://[a-z0-9.:-]{1,253}/\d{12}/[\w-]{1,80}(\.fifo)?", QUEUE_URL),
    AfterValidator(_queue),
]
Certificate = Annotated[str, Field(max_length=64 * KIB), _must(_is_certificate, "must be certificates in PEM")]
StartFrom = Annotated[
    str, Field(max_length=40), _must(_is_start, "must be now, beginning, or a time with its offset (RFC 3339)")
]
Interval = Annotated[int, Field(ge=1, le=86_400, description="Seconds between two looks.")]
CallbackUrl = Annotated[str, Field(max_length=2_048), AfterValidator(_callback)]
EndpointUrl = Annotated[str, Field(max_length=2_048), AfterValidator(_endpoint)]
Intakes = Annotated[list[Literal["s3", "sqs", "lookup"]], Field(min_length=1, max_length=3)]
Regions = Annotated[list[Region], Field(max_length=50)]


# ------------------------------------------------------------------------------------------- parts of a source


class CredentialsGiven(Given):
    """AWS credentials. Without keys the machine's own identity is used."""

    access_key_id: AccessKeyId | None = None
    secret_access_key: SecretAccessKey | None = None
    session_token: SessionToken | None = None
    expiration: Expiration | None = Field(
        default=None, description="When the session token ends, as AWS tells it: a notice warns in time."
    )
    role_arn: RoleArn | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.secret_access_key and not self.access_key_id:
            _fail("accessKeyId", "goes together with secretAccessKey")
        if self.access_key_id and not self.secret_access_key:
            _fail("secretAccessKey", "goes together with accessKeyId")
        if self.session_token and not self.access_key_id:
            _fail("sessionToken", "needs accessKeyId and secretAccessKey")
        if self.expiration and not self.session_token:
            _fail("expiration", "needs sessionToken: other keys do not end by themselves")
        if self.access_key_id and self.access_key_id.startswith("ASIA") and not self.session_token:
            _fail("sessionToken", "is missing: an access key that begins with ASIA is a temporary one")
        if self.external_id and not self.role_arn:
            _fail("externalId", "needs roleArn")
        return self


class NewCredentials(CredentialsGiven):
    """The credentials of a new source."""

    region: Region


class OtherCredentials(CredentialsGiven):
    """They replace the former as a whole; the region alone may be changed, or left as it was."""

    region: Region | None = None


FieldPath = Annotated[str, _like(r"[A-Za-z]\w{0,99}(\.[\w-]{1,100}){0,9}", "must hold paths such as userIdentity.arn")]
Patterns = Annotated[list[Annotated[str, Field(min_length=1, max_length=512)]], Field(min_length=1, max_length=200)]
Fields = Annotated[dict[FieldPath, Patterns], Field(max_length=50)]


_REDACT_PATH = re.compile(
    r"(?:\*|{name})(?:\.(?:\*|{name})){{0,9}}".format(name=r'[^.*"/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,100}')
)
_WHAT_MAKES_AN_EVENT = ("*", "eventID", "eventTime")


def _check_redaction(path: str) -> str:
    if not _REDACT_PATH.fullmatch(path):
        raise _broken(
            "must hold paths such as userIdentity.accessKeyId; * stands for any one name, not for a part of one"
        )
    if path in _WHAT_MAKES_AN_EVENT:
        raise _broken("cannot name eventID or eventTime, nor all fields: they make an event what it is")
    return path


class FilterGiven(Given):
    """Which events to forward: field path → patterns with `*` and `?`. All of `include`, none of `exclude`.

    `redact` names the values that are replaced by `"[redacted]"` in those that are forwarded.
    """

    include: Fields = {}
    exclude: Fields = {}
    redact: Annotated[list[Annotated[str, AfterValidator(_check_redaction)]], Field(max_length=50)] = []


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?")
_OUR_HEADERS = re.compile(
    r"(?:content|webhook|x-trailhook|proxy)-.*"
    r"|host|user-agent|accept-encoding|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect",
    re.IGNORECASE,
)


def _check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if len({name.lower() for name in headers}) < len(headers):
        raise _broken("names a header twice")
    if not all(map(_HEADER_NAME.fullmatch, headers)):
        raise _broken("must have names of up to 64 letters, digits and hyphens")
    if any(map(_OUR_HEADERS.fullmatch, headers)):
        raise _broken("must not name headers that Trailhook sets itself (content-*, host, webhook-*, x-trailhook-*, …)")
    if not all(_HEADER_VALUE.fullmatch(value.get_secret_value()) for value in headers.values()):
        raise _broken("must have values of 1 to 4,096 visible ASCII characters, spaces only between them")
    return headers


class DeliveryGiven(Given):
    """How events are sent. What is left out stays as it is, null is the default."""

    format: Format | None = None
    event_format: EventFormat | None = None
    max_events: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_bytes: Annotated[int, Field(ge=KIB, le=10 * KIB * KIB)] | None = None
    compression: Compression | None = None
    headers: Annotated[dict[str, SecretStr], Field(max_length=20), AfterValidator(_check_headers)] | None = None
    ordered: bool | None = None


# ------------------------------------------------------------------------------------------------ whole bodies


class SourceGiven(Given):
    """What a new source and a change of one have in common."""

    s3_bucket: Bucket | None = None
    s3_prefix: Prefix | None = None
    intake: Intakes | None = Field(default=None, description="Ways in; by default what the other fields suggest.")
    regions: Regions | None = None
    sqs_queue_url: QueueUrl | None = None
    ca_certificate: Certificate | None = None
    endpoint_url: EndpointUrl | None = None
    start_from: StartFrom | None = Field(
        default=None, description="`now`, `beginning` or a time; by default 24 hours before registration."
    )
    filter: FilterGiven | None = None
    verify_integrity: bool | None = Field(
        default=None, description="Keep the hash of every object read, to be held against CloudTrail's digests."
    )
    hold_until_verified: bool | None = Field(
        default=None,
        description="Forward an object only once such a digest lists it, and only as it lists it: an hour or two "
        "later. It takes s3Bucket, and keeps the hashes as verifyIntegrity does.",
    )
    delivery: DeliveryGiven | None = None


class AddSource(SourceGiven):
    """A new source."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    source_type: Literal["aws_cloudtrail"]
    name: Name | None = None
    credentials: NewCredentials
    log_fetch_interval: Interval = 300
    callback_url: CallbackUrl


class ChangeSource(SourceGiven):
    """Changes to a source: what is left out stays, null clears what is optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"logFetchInterval": 60, "s3Prefix": None}]})

    name: Name | None = None
    credentials: OtherCredentials | None = None
    log_fetch_interval: Interval | None = None
    callback_url: CallbackUrl | None = None

    @field_validator("name", "credentials", "log_fetch_interval", "callback_url", "start_from", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise _broken("cannot be null")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise _broken("names nothing to change")
        return self


class TryFilter(Given):
    """A filter to try on the last events stored of a source."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"exclude": {"readOnly": ["true"]}}, "last": 10_000}]}
    )

    filter: FilterGiven
    last: Annotated[int, Field(ge=1)] = 10_000


Time = Annotated[str, Field(max_length=40), _must(_is_time, "must be a time with its offset (RFC 3339)")]


class CreateToken(Given):
    """A new token for the API."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
