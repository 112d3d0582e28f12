"""Standard Webhooks 1.0.0 signatures, over the bytes on the wire.

A signature is `v1,` and the base64 of HMAC-SHA256(secret, `id.timestamp.body`). While a secret is being rotated there
are several, separated by a space. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
import re
from collections.abc import Iterable, Sequence

from trailhook.errors import TrailhookError

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
VERSION = "v1"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of Standard Webhooks, no secret

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class SignatureRefused(TrailhookError):
    """A request is not what the holder of the secret sent, or not of now."""


def headers(batch_id: str, body: bytes, now: float, secrets: Sequence[bytes]) -> list[tuple[str, str]]:
    """The three headers of one attempt at `now`: one signature for each secret, in their order (newest first)."""
    timestamp = str(int(now))
    signatures = " ".join(_signature(batch_id, timestamp, body, secret) for secret in secrets)
    return [(ID_HEADER, batch_id), (TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signatures)]


def verify(
    headers: Iterable[tuple[str, str]], body: bytes, secrets: Sequence[bytes], now: float, tolerance_s: float
) -> None:
    """Return if some signature is that of some secret and the timestamp is within `tolerance_s` of `now`.

    Names of headers may be in any case. Raises `SignatureRefused`, whose message never shows a signature.
    """
    given = {name.lower(): value for name, value in headers}
    missing = [name for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) if not given.get(name)]
    if missing:
        raise SignatureRefused(f"no {', '.join(missing)}")
    timestamp = given[TIMESTAMP_HEADER]
    if not _UNIX_SECONDS.fullmatch(timestamp):
        raise SignatureRefused(f"{TIMESTAMP_HEADER} is not a time in seconds")
    if abs(now - int(timestamp)) > tolerance_s:
        raise SignatureRefused(f"{TIMESTAMP_HEADER} is {abs(now - int(timestamp)):.0f} s away from the clock here")
    signatures = [each.encode() for each in given[SIGNATURE_HEADER].split(" ")]
    expected = [_signature(given[ID_HEADER], timestamp, body, secret).encode() for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in expected for other in signatures):
        raise SignatureRefused("no signature is that of a known secret")


def parse_secret(text: str) -> bytes:
    """The bytes of a secret written as `whsec_` and base64; prefix and padding may be missing.

    Raises ValueError, whose message never shows the secret.
    """
    encoded = text.strip().removeprefix(SECRET_PREFIX).rstrip("=")
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        secret = b""
    if not secret:
        raise ValueError(f"a signing secret is {SECRET_PREFIX} and base64")
    return secret


def _signature(batch_id: str, timestamp: str, body: bytes, secret: bytes) -> str:
    signed = hmac.new(secret, f"{batch_id}.{timestamp}.".encode(), "sha256")
    signed.update(body)
    return f"{VERSION},{base64.b64encode(signed.digest()).decode()}"
