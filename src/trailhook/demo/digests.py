"""Digests of the simulated account, signed as CloudTrail signs them, and ListPublicKeys, which moto does not know.

Written from the CloudTrail user guide and API reference; it shares nothing with the code that verifies.
"""

import base64
import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY_BITS = 2_048
_TARGET = "CloudTrail_20131101.ListPublicKeys"
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/cloudtrail/aws4_request")


class SigningKey:
    """A pair of keys of CloudTrail's in one region."""

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
        self.public_der = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        self.fingerprint = hashlib.md5(self.public_der, usedforsecurity=False).hexdigest()

    def sign(self, text: str) -> str:
        """RSA with SHA-256 and the padding of PKCS #1 v1.5, in hex."""
        return self._private.sign(text.encode(), padding.PKCS1v15(), SHA256()).hex()


@dataclass(frozen=True, slots=True)
class DigestFile:
    """One object for the bucket."""

    key: str
    body_gz: bytes
    metadata: Mapping[str, str]
    sha256: str
    """Of what it inflates to."""


@dataclass(slots=True)
class DigestChain:
    """Writes the digests of one trail in one region of an account, each linked with the one before."""

    bucket: str
    account: str
    region: str
    signer: SigningKey
    trail: str = "management-events"
    above: str = ""
    """What lies above `AWSLogs/`."""
    organization: str = ""
    """The folder of the organization, with its slash."""
    suffix: str = ""
    """`_backfill` for digests that are written later."""
    previous: DigestFile | None = None

    def write(self, logs: Mapping[str, str], start_at: float, end_at: float, **changes: Any) -> DigestFile:
        """The digest of an hour in which these log files were delivered, each with the SHA-256 of its inflated content;
        `changes` are made before signing.
        """
        before = self.previous
        fields: dict[str, Any] = {
            "awsAccountId": self.account,
            "digestStartTime": _time(start_at),
            "digestEndTime": _time(end_at),
            "digestS3Bucket": self.bucket,
            "digestS3Object": self._key(end_at),
            "digestPublicKeyFingerprint": self.signer.fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": _time(end_at) if logs else None,
            "oldestEventTime": _time(start_at) if logs else None,
            "previousDigestS3Bucket": self.bucket if before else None,
            "previousDigestS3Object": before.key if before else None,
            "previousDigestHashValue": before.sha256 if before else None,
            "previousDigestHashAlgorithm": "SHA-256" if before else None,
            "previousDigestSignature": before.metadata["signature"] if before else None,
            "logFiles": [self._entry(key, sha256, start_at, end_at) for key, sha256 in logs.items()],
        }
        self.previous = self._signed(fields | changes, key=fields["digestS3Object"])
        return self.previous

    def _entry(self, key: str, sha256: str, start_at: float, end_at: float) -> Mapping[str, str]:
        return {
            "s3Bucket": self.bucket,
            "s3Object": key,
            "hashValue": sha256,
            "hashAlgorithm": "SHA-256",
            "newestEventTime": _time(end_at),
            "oldestEventTime": _time(start_at),
        }

    def _signed(self, fields: Mapping[str, Any], *, key: str) -> DigestFile:
        plain = json.dumps(fields, separators=(",", ":")).encode()
        sha256 = hashlib.sha256(plain).hexdigest()
        path = f"{fields['digestS3Bucket']}/{fields['digestS3Object']}"
        previous = fields["previousDigestSignature"] or "null"
        signature = self.signer.sign(f"{fields['digestEndTime']}\n{path}\n{sha256}\n{previous}")
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        return DigestFile(key, gzip.compress(plain, mtime=0), metadata, sha256)

    def _key(self, end_at: float) -> str:
        end = datetime.fromtimestamp(end_at, UTC)
        folder = f"{self.above}AWSLogs/{self.organization}{self.account}/CloudTrail-Digest/{self.region}/{end:%Y/%m/%d}"
        name = f"{self.account}_CloudTrail-Digest_{self.region}_{self.trail}_{self.region}_{end:%Y%m%dT%H%M%SZ}"
        return f"{folder}/{name}{self.suffix}.json.gz"


@dataclass(kw_only=True)
class PublicKeys:
    """The public keys of all regions, and the WSGI application that answers for them."""

    app: "WSGIApplication"
    """Who answers all else."""
    page_keys_max: int = 10
    denied: bool = False
    _keys: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, region: str, key: SigningKey, *, from_at: float, to_at: float) -> None:
        """The key signs in that region and time."""
        self._keys[region].append(
            {
                "Value": base64.b64encode(key.public_der).decode(),
                "ValidityStartTime": from_at,
                "ValidityEndTime": to_at,
                "Fingerprint": key.fingerprint,
            }
        )

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").endswith(_TARGET):
            return self.app(environ, start_response)
        wanted = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        status, answer = self._answer(environ.get("HTTP_AUTHORIZATION", ""), wanted)
        content = json.dumps(answer).encode()
        headers = [("content-type", "application/x-amz-json-1.1"), ("content-length", str(len(content)))]
        start_response(status, headers)
        return [content]

    def _answer(self, authorization: str, wanted: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        scope = _SCOPE.search(authorization)
        if scope is None or self.denied:
            message = "User is not authorized to perform: cloudtrail:ListPublicKeys"
            return "400 Bad Request", {"__type": "AccessDeniedException", "message": message}
        start_at, end_at = wanted["StartTime"], wanted["EndTime"]
        if start_at > end_at:
            return "400 Bad Request", {"__type": "InvalidTimeRangeException", "message": "The time range is invalid."}
        found = [
            each
            for each in self._keys[scope[1]]
            if each["ValidityStartTime"] <= end_at and each["ValidityEndTime"] >= start_at
        ]
        at = int(wanted.get("NextToken", 0))
        answer: dict[str, Any] = {"PublicKeyList": found[at : at + self.page_keys_max]}
        if len(found) > at + self.page_keys_max:
            answer["NextToken"] = str(at + self.page_keys_max)
        return "200 OK", answer


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
