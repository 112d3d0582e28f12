"""Asking AWS: signed, sent over our transport, refusals translated into our errors."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.loaders import Loader

from trailhook import __version__
from trailhook.clock import Clock
from trailhook.errors import Invalid, Misconfigured, NeedsAttention, Refused, Throttled, TrailhookError, Transient
from trailhook.model import Value
from trailhook.net.base import Answer, AnswerTooLong, CertificateRefused, Request, Transport
from trailhook.sources.aws_errors import translate
from trailhook.sources.s3_sign import Signer, signed_get

_SUCCESS = range(200, 300)
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")

OnRequest = Callable[[str, str], None]
"""Told of every request: its operation and the class of its outcome (`ok`, `throttled`, `access_denied`, …)."""


class Keys(Value, frozen=True, kw_only=True):
    """What signs a request. They live in memory only."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expires_at: float | None = None

    def __repr__(self) -> str:
        return "Keys(***)"


class Call(Value, frozen=True, kw_only=True):
    """One request to one AWS service. The URL is complete and percent-encoded; `headers` are signed with it."""

    operation: str
    service: str
    region: str
    method: str = "GET"
    url: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    answer_bytes_max: int
    deadline_s: float
    ca_certificate: str | None = None
    resource: str = ""
    """What is asked for, as a denial should name it."""


def service_host(service: str, region: str) -> str:
    """`s3.eu-west-1.amazonaws.com`. Raises `Misconfigured` for what is no region's name."""
    if not _REGION.fullmatch(region):
        raise Misconfigured("The region is not the name of one.", "Correct the region, for instance us-east-1.")
    return f"{service}.{region}.{_dns_suffix(region)}"


def signed_headers(call: Call, keys: Keys, now: float) -> list[tuple[str, str]]:
    """The call's headers with those that sign it, as AWS Signature Version 4 asks."""
    if call.service == "s3" and call.method == "GET":
        signer = Signer(
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            session_token=keys.session_token,
            region=call.region,
        )
        return signed_get(call.url, call.headers, signer, now)
    return botocore_headers(call, keys, now)


def botocore_headers(call: Call, keys: Keys, now: float) -> list[tuple[str, str]]:
    """The same by botocore's own signer, which knows every service."""
    kind = _S3Signer if call.service == "s3" else _Signer
    credentials = ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    request = AWSRequest(method=call.method, url=call.url, headers=dict(call.headers), data=call.body)
    kind(credentials, call.service, call.region).sign(request, now)
    return list(request.headers.items())


class AwsHttp:
    """Sends signed calls. Every failure comes out as one of our errors."""

    def __init__(self, transport: Transport, clock: Clock, on_request: OnRequest | None = None) -> None:
        self._transport = transport
        self._clock = clock
        self._on_request = on_request or (lambda _operation, _outcome: None)

    async def send(self, call: Call, keys: Keys) -> Answer:
        """The whole answer of a call that succeeded.

        Raises what `translate` makes of a refusal, `Invalid("too_large")` for an answer longer than asked for,
        `Misconfigured` where the guard or the server's certificate stands in the way, `Transient` for the rest.
        """
        try:
            answer = await self._exchange(call, keys)
        except TrailhookError as error:
            self._on_request(call.operation, _outcome(error))
            raise
        self._on_request(call.operation, "ok")
        return answer

    async def _exchange(self, call: Call, keys: Keys) -> Answer:
        headers = signed_headers(call, keys, self._clock.now())
        unsigned = [("accept-encoding", "identity"), ("user-agent", f"trailhook/{__version__}")]
        try:
            answer = await self._transport.send(
                Request(
                    method=call.method,
                    url=call.url,
                    headers=headers + unsigned,
                    body=call.body,
                    body_bytes_max=call.answer_bytes_max,
                    cut_long_answers=False,
                    deadline_s=call.deadline_s,
                    ca_certificate=call.ca_certificate,
                )
            )
        except (AnswerTooLong, Refused, CertificateRefused) as error:
            raise _not_sent(call, error) from error
        if answer.status not in _SUCCESS:
            raise translate(answer, call.operation, resource=call.resource)
        if answer.broken:
            raise Transient(f"{call.operation}: the answer broke off ({answer.broken}).")
        return answer


def _not_sent(call: Call, error: AnswerTooLong | Refused | CertificateRefused) -> TrailhookError:
    if isinstance(error, AnswerTooLong):
        return Invalid("too_large", f"{call.operation}: the answer is longer than {call.answer_bytes_max:,} bytes.")
    if isinstance(error, CertificateRefused):
        return Misconfigured(
            f"{call.operation}: the server's certificate does not verify.",
            "Set caCertificate to the authority that signed it, or correct endpointUrl.",
        )
    allow = f"Add its host to {error.setting}, or correct endpointUrl." if error.setting else "Correct endpointUrl."
    return Misconfigured(f"{call.operation}: {error}", allow)


def _outcome(error: TrailhookError) -> str:
    """The class of a failed request, for counting."""
    match error:
        case Throttled():
            return "throttled"
        case Transient():
            return "transient"
        case NeedsAttention():
            return error.state.value
        case Invalid():
            return error.reason
        case _:
            return "refused"


@cache
def _partitions() -> list[tuple[re.Pattern[str], str]]:
    """How botocore tells AWS's partitions apart, with the domain of each."""
    partitions = Loader().load_data("partitions")["partitions"]
    return [(re.compile(each["regionRegex"]), each["outputs"]["dnsSuffix"]) for each in partitions]


def _dns_suffix(region: str) -> str:
    return next((suffix for pattern, suffix in _partitions() if pattern.fullmatch(region)), "amazonaws.com")


class _Signer(SigV4Auth):  # type: ignore[misc] # botocore publishes no types
    """botocore's signer by our clock, and without its debug log of what is signed (it would show session tokens)."""

    def sign(self, request: AWSRequest, now: float) -> None:
        request.context["timestamp"] = datetime.fromtimestamp(now, UTC).strftime(SIGV4_TIMESTAMP)
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))


class _S3Signer(_Signer, S3SigV4Auth):  # type: ignore[misc] # the same
    """The same for S3, which signs paths as they are."""
