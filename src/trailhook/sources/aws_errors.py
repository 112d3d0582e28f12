"""What an AWS service means when it says no: by the code in its answer, never by HTTP status alone.

The codes are those of the services' own documentation and of botocore's retry tables. Messages of the services
are not passed on (they may echo what was sent); of a denial, the action and the resource are taken out by pattern.
"""

import re
from collections.abc import Mapping

import msgspec

from trailhook.errors import (
    AccessDenied,
    ClockSkewed,
    CredentialsExpired,
    CredentialsInvalid,
    Misconfigured,
    ObjectGone,
    Throttled,
    TrailhookError,
    Transient,
    Unexplained,
)
from trailhook.model import Value
from trailhook.net.base import Answer
from trailhook.sources.aws_xml import UnreadableXml, leaf_texts

THROTTLED = frozenset(
    [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
        "KmsThrottled",
        "OverLimit",
    ]
)
TRANSIENT = frozenset(
    [
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "OperationAborted",
        "InvalidNextTokenException",
    ]
)
EXPIRED = frozenset(["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"])
INVALID = frozenset(
    [
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthFailure",
        "InvalidToken",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
        "InvalidSecurity",
    ]
)
DENIED = frozenset(
    ["AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem", "UnauthorizedOperation"]
)
SKEWED = frozenset(["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"])
GONE = {
    "NoSuchKey": "gone",
    "NoSuchVersion": "gone",
    "PreconditionFailed": "replaced",
    "InvalidObjectState": "archived",
}
WRONG_REGION = frozenset(
    ["PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]
)

_GONE_WORDS = {
    "gone": "The object was deleted before it was read.",
    "replaced": "The object was replaced before it was read; its new version is read instead.",
    "archived": "The object is archived (Glacier) and cannot be read until it is restored.",
}
_CONFIG_WORDS = {
    "NoSuchBucket": ("There is no such bucket.", "Correct s3Bucket."),
    "InvalidBucketName": ("The bucket's name is not one.", "Correct s3Bucket."),
    "NonExistentQueue": ("There is no such queue.", "Correct sqsQueueUrl."),
    "QueueDoesNotExist": ("There is no such queue.", "Correct sqsQueueUrl."),
    "InvalidAddress": ("The queue's URL is not one of its region.", "Correct sqsQueueUrl."),
    "RegionDisabledException": ("The region is not enabled in this account.", "Enable it, or correct the region."),
}
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "AssumeRole": "sts:AssumeRole",
    "LookupEvents": "cloudtrail:LookupEvents",
    "DescribeTrails": "cloudtrail:DescribeTrails",
    "GetTrailStatus": "cloudtrail:GetTrailStatus",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]{2,40}:[A-Za-z0-9*]{2,60})")
_RESOURCE = re.compile(r"on resource: \"?(arn:[A-Za-z0-9:/._*=@+-]{5,300})")
_CLOCK = re.compile(r"signature (expired|not yet current)|request has expired", re.IGNORECASE)
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
_REFUSAL_BYTES_MAX = 64 * 1024
_HTTP_ELSEWHERE = (301, 307, 308, 400)
_HTTP_FORBIDDEN, _HTTP_PRECONDITION, _HTTP_TOO_MANY, _HTTP_SERVER_ERROR = 403, 412, 429, 500


class Refusal(Value, frozen=True, kw_only=True):
    """What an answer says against a request, whichever protocol it was said in."""

    status: int
    code: str = ""
    message: str = ""
    region: str | None = None
    retry_after_s: float | None = None


def translate(answer: Answer, operation: str, *, resource: str = "") -> TrailhookError:
    """The error that an answer of status 300 or more stands for. `resource` is what was asked for, by name."""
    return error_for(read_refusal(answer), operation, resource=resource)


def read_refusal(answer: Answer) -> Refusal:
    """Find the code, in XML (S3, STS) or JSON (CloudTrail, SQS); it stays empty in an answer that has none."""
    texts = _texts(answer.body)
    code = texts.get("Code") or texts.get("__type") or answer.header("x-amzn-errortype") or ""
    region = answer.header("x-amz-bucket-region") or texts.get("Region")
    retry_after = answer.header("retry-after") or ""
    return Refusal(
        status=answer.status,
        code=_read_code(code)[:80],
        message=texts.get("Message") or texts.get("message") or "",
        region=region if region and _REGION.fullmatch(region) else None,
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
    )


def error_for(refusal: Refusal, operation: str, *, resource: str = "") -> TrailhookError:
    """The error class of a refusal: throttle, transient, expired, invalid, denied, clock, config or object."""
    code = refusal.code
    if _CLOCK.search(refusal.message) or code in SKEWED:
        return _clock_skewed()
    if code in THROTTLED:
        return Throttled(f"{operation}: AWS asks to slow down ({code}).", retry_after_s=refusal.retry_after_s)
    if code in TRANSIENT:
        return _transient(refusal, operation)
    if code in GONE:
        return ObjectGone(GONE[code], _GONE_WORDS[GONE[code]])
    if code in DENIED or code.startswith(("KMS.", "Kms")):
        return _denied(refusal, operation, resource)
    return _of_credentials(refusal) or _of_configuration(refusal) or _by_status(refusal, operation, resource)


def _read_code(text: str) -> str:
    """`com.amazonaws.cloudtrail#ThrottlingException` and `ThrottlingException:http://…` name one code."""
    return text.rpartition("#")[2].partition(":")[0].removeprefix("AWS.SimpleQueueService.")


def _texts(body: bytes) -> Mapping[str, str]:
    if len(body) > _REFUSAL_BYTES_MAX:
        return {}
    try:
        if not body.startswith(b"{"):
            return leaf_texts(body)
        return {name: text for name, text in msgspec.json.decode(body).items() if isinstance(text, str)}
    except (msgspec.MsgspecError, UnreadableXml, UnicodeDecodeError):
        return {}


def _clock_skewed() -> ClockSkewed:
    return ClockSkewed(
        "AWS refuses the request's time: this machine's clock is wrong.",
        "Set this machine's clock (NTP); the credentials are not at fault.",
    )


def _transient(refusal: Refusal, operation: str) -> Transient:
    return Transient(
        f"{operation}: AWS answered {refusal.code or refusal.status}.", retry_after_s=refusal.retry_after_s
    )


def _denied(refusal: Refusal, operation: str, resource: str) -> AccessDenied:
    named, where = _ACTION.search(refusal.message), _RESOURCE.search(refusal.message)
    is_kms = "kms" in refusal.code.lower() or "kms" in refusal.message.lower()
    usual = "kms:Decrypt" if is_kms else _ACTIONS.get(operation)
    action = named[1] if named and named[1].lower() != (usual or "").lower() else usual
    on = where[1] if where else "the KMS key" if is_kms else resource
    return AccessDenied(
        f"AWS denied {operation}{f' on {on}' if on else ''} ({refusal.code or refusal.status}).",
        f"Allow {action or operation}{f' on {on}' if on else ''} for these credentials.",
        action=action,
    )


def _of_credentials(refusal: Refusal) -> CredentialsExpired | CredentialsInvalid | None:
    malformed = refusal.code == "AuthorizationHeaderMalformed" and "region" not in refusal.message.lower()
    if refusal.code in EXPIRED:
        return CredentialsExpired(
            f"The session token has expired ({refusal.code}).", "Update the source with fresh credentials."
        )
    if refusal.code in INVALID or (malformed and refusal.region is None):
        return CredentialsInvalid(
            f"AWS does not accept the access key or its secret ({refusal.code}).",
            "Update the source with a valid access key and secret.",
        )
    return None


def _of_configuration(refusal: Refusal) -> Misconfigured | None:
    unsaid = not refusal.code and refusal.region is not None and refusal.status in _HTTP_ELSEWHERE
    if refusal.code in WRONG_REGION or unsaid:
        where = f"is {refusal.region}" if refusal.region else "is another"
        return Misconfigured(
            f"The bucket's region {where}.", "Correct the region of the source.", region=refusal.region
        )
    if refusal.code in _CONFIG_WORDS:
        reason, remedy = _CONFIG_WORDS[refusal.code]
        return Misconfigured(f"{reason[:-1]} ({refusal.code}).", remedy)
    return None


def _by_status(refusal: Refusal, operation: str, resource: str) -> TrailhookError:
    """For codes we do not know, and for answers without one (HEAD, a proxy's page)."""
    if refusal.status == _HTTP_TOO_MANY:
        return Throttled(f"{operation}: AWS asks to slow down.", retry_after_s=refusal.retry_after_s)
    if refusal.status >= _HTTP_SERVER_ERROR:
        return _transient(refusal, operation)
    if refusal.status == _HTTP_FORBIDDEN and not refusal.code:
        return _denied(refusal, operation, resource)
    if refusal.status == _HTTP_PRECONDITION:
        return ObjectGone("replaced", _GONE_WORDS["replaced"])
    if operation == "GetObject":
        # One object's trouble is not its source's: that unit waits, the others are read.
        return Unexplained(str(_transient(refusal, operation)), retry_after_s=refusal.retry_after_s)
    said = f"{refusal.status} {refusal.code}".strip()
    return Misconfigured(
        f"{operation} was answered with {said}.", "Check the names of bucket and queue, the region and the endpointUrl."
    )
