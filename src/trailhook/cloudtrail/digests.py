"""CloudTrail's digests: what one says, whether CloudTrail signed it, and whether it follows the one before it.

Every hour CloudTrail writes a digest for each trail and region, signed, with the hash of every log file it delivered in
that hour and of the digest before. So a chain of digests shows what there should be, and what was taken away.

Source: "CloudTrail digest file structure" and "Custom implementations of CloudTrail log file integrity validation" in
the CloudTrail user guide. Beyond what the guide asks for, the hash of the digest before is compared too, and one
digest's hour must begin where the one before it ends: without that, two digests gone in a row leave no trace.
"""

import binascii
import hashlib
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from trailhook.clock import from_rfc3339
from trailhook.errors import Invalid
from trailhook.model import Value

BYTES_MAX: Final = 64 * 1024 * 1024
"""Of an inflated digest: half a kilobyte for each log file of an hour."""
_SIGNED_BY = "SHA256withRSA"
_HASHED_BY = "SHA-256"
_GZIP = 31


class LogFile(Value, frozen=True, kw_only=True):
    """A log file that a digest lists. `sha256` is of its inflated content."""

    bucket: str
    key: str
    sha256: bytes


class Previous(Value, frozen=True, kw_only=True):
    """What a digest says of the one before it."""

    bucket: str
    key: str
    sha256: bytes
    signature: str


class Digest(Value, frozen=True, kw_only=True):
    """What one digest says, and what it was signed with."""

    bucket: str
    key: str
    start_at: float
    end_at: float
    end_time: str
    """`end_at` as it is spelt, for that is what is signed."""
    fingerprint: str
    """Of the public key."""
    previous: Previous | None
    """None for the first one of a chain."""
    log_files: Sequence[LogFile]
    sha256: bytes
    """Of this digest, inflated."""
    signature: str

    @property
    def signed_text(self) -> bytes:
        """What CloudTrail signed."""
        before = self.previous.signature if self.previous else "null"
        return f"{self.end_time}\n{self.bucket}/{self.key}\n{self.sha256.hex()}\n{before}".encode()


def read_digest(data: bytes, *, bucket: str, key: str, signature: str | None, algorithm: str | None) -> Digest:
    """The digest that lies at `key` of `bucket`; signature and algorithm are those of the object's metadata.

    Raises `Invalid`: `not_gzip`, `trailing_bytes`, `too_large`, `not_json`, `bad_format` (a field is missing or
    is not what it should be), `unknown_algorithm`, `moved`, `no_signature`.
    """
    plain = _inflated(data)
    try:
        said = _DECODER.decode(plain)
    except msgspec.ValidationError as error:
        raise Invalid("bad_format", f"it is not what a digest is: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("not_json", "it is not JSON") from error
    _check_algorithms(said, algorithm)
    if (said.digest_s3_bucket, said.digest_s3_object) != (bucket, key):
        raise Invalid("moved", "it was moved here: it says that it lies elsewhere")
    if not signature:
        raise Invalid("no_signature", "it has no signature in its metadata")
    return Digest(
        bucket=bucket,
        key=key,
        start_at=_time(said.digest_start_time),
        end_at=_time(said.digest_end_time),
        end_time=said.digest_end_time,
        fingerprint=said.digest_public_key_fingerprint,
        previous=_previous(said),
        log_files=[
            LogFile(bucket=each.s3_bucket, key=each.s3_object, sha256=_sha256(each.hash_value))
            for each in said.log_files
        ],
        sha256=hashlib.sha256(plain).digest(),
        signature=signature,
    )


def check_signature(digest: Digest, public_key: bytes | None) -> None:
    """Whether the owner of the key, in PKCS#1 DER, signed this very digest. None: there is no such key.

    Raises `Invalid`: `no_public_key`, `bad_public_key`, `bad_signature`.
    """
    if public_key is None:
        raise Invalid("no_public_key", f"CloudTrail tells of no public key {digest.fingerprint[:64]} in its region")
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("bad_public_key", "its public key cannot be read") from error
    if not isinstance(key, RSAPublicKey):
        raise Invalid("bad_public_key", "its public key is not one of RSA")
    try:
        key.verify(binascii.unhexlify(digest.signature), digest.signed_text, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError) as error:
        raise Invalid("bad_signature", "its signature is not CloudTrail's: it was altered") from error


def check_link(before: Digest, digest: Digest) -> None:
    """Whether `digest`, whose hour is at or behind that of `before`, is in order with it; both are CloudTrail's own.

    A later one, or one that begins a chain of its own, is: that there is a gap shows in the hours. Raises
    `Invalid("chain")`.
    """
    previous = digest.previous
    if previous is None:
        return
    if digest.start_at < before.end_at:
        raise Invalid("chain", "its hour begins before the one before it has ended")
    if digest.start_at > before.end_at:
        return
    if (previous.bucket, previous.key) != (before.bucket, before.key):
        raise Invalid("chain", "it follows another digest than the one that is there")
    if (previous.sha256, previous.signature) != (before.sha256, before.signature):
        raise Invalid("chain", "it follows another version of the digest before it than the one that is there")


# ----------------------------------------------------------------------------------------------- as it is written


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    s3_bucket: str = msgspec.field(name="s3Bucket")
    s3_object: str = msgspec.field(name="s3Object")
    hash_value: str
    hash_algorithm: str


class _Said(msgspec.Struct, frozen=True, rename="camel"):
    digest_start_time: str
    digest_end_time: str
    digest_s3_bucket: str = msgspec.field(name="digestS3Bucket")
    digest_s3_object: str = msgspec.field(name="digestS3Object")
    digest_public_key_fingerprint: str
    digest_signature_algorithm: str
    previous_digest_s3_bucket: str | None = msgspec.field(name="previousDigestS3Bucket")
    previous_digest_s3_object: str | None = msgspec.field(name="previousDigestS3Object")
    previous_digest_hash_value: str | None
    previous_digest_hash_algorithm: str | None
    previous_digest_signature: str | None
    log_files: list[_Entry]


_DECODER: Final = msgspec.json.Decoder(_Said)


def _inflated(data: bytes) -> bytes:
    """Exactly one gzip member: whatever follows it could be read as something else by somebody else."""
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        plain = stream.decompress(data, BYTES_MAX)
    except zlib.error as error:
        raise Invalid("not_gzip", "it is not gzip data, or damaged") from error
    if stream.unconsumed_tail:
        raise Invalid("too_large", f"it inflates to more than {BYTES_MAX:,} bytes")
    if not stream.eof:
        raise Invalid("not_gzip", "its gzip data ends before its end")
    if stream.unused_data:
        raise Invalid("trailing_bytes", "bytes follow the end of its gzip data")
    return plain


def _check_algorithms(said: _Said, of_metadata: str | None) -> None:
    signed_by = {said.digest_signature_algorithm, of_metadata or _SIGNED_BY}
    hashed_by = {each.hash_algorithm for each in said.log_files} | {said.previous_digest_hash_algorithm or _HASHED_BY}
    if signed_by != {_SIGNED_BY} or hashed_by != {_HASHED_BY}:
        raise Invalid("unknown_algorithm", f"it names other algorithms than {_SIGNED_BY} and {_HASHED_BY}")


def _previous(said: _Said) -> Previous | None:
    fields = (
        said.previous_digest_s3_bucket,
        said.previous_digest_s3_object,
        said.previous_digest_hash_value,
        said.previous_digest_signature,
    )
    bucket, key, hash_value, signature = fields
    if fields == (None, None, None, None):
        return None
    if bucket is None or key is None or hash_value is None or signature is None:
        raise Invalid("bad_format", "it says only half of what the digest before it is")
    return Previous(bucket=bucket, key=key, sha256=_sha256(hash_value), signature=signature)


def _sha256(text: str) -> bytes:
    try:
        value = binascii.unhexlify(text)
    except ValueError:
        value = b""
    if len(value) != hashlib.sha256().digest_size:
        raise Invalid("bad_format", "it has a hash that is none")
    return value


def _time(text: str) -> float:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise Invalid("bad_format", "it has a time that is none") from error
