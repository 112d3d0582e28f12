"""A digest is what CloudTrail signed, where it put it, in one piece; anything else proves nothing."""

import gzip
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.real_data import real_data
from trailhook.cloudtrail.digests import Digest, check_link, check_signature, read_digest
from trailhook.demo.digests import DigestChain, DigestFile, SigningKey
from trailhook.errors import Invalid

BUCKET = "trail-bucket"
HOUR_S = 3_600.0
AT = 1_750_000_000.0


@pytest.fixture(scope="module")
def signer() -> SigningKey:
    return SigningKey()


@pytest.fixture
def chain(signer: SigningKey) -> DigestChain:
    return DigestChain(BUCKET, "123456789012", "us-east-1", signer)


LOGS = {"AWSLogs/a.json.gz": hashlib.sha256(b'{"Records":[]}').hexdigest()}


def written(chain: DigestChain, hour: int = 0, **changes: Any) -> DigestFile:
    return chain.write(LOGS, AT + hour * HOUR_S, AT + (hour + 1) * HOUR_S, **changes)


def read(file: DigestFile, **changes: Any) -> Digest:
    given = {
        "data": file.body_gz,
        "bucket": BUCKET,
        "key": file.key,
        "signature": file.metadata["signature"],
        "algorithm": file.metadata["signature-algorithm"],
    }
    return read_digest(**{**given, **changes})


def refusal(file: DigestFile, **changes: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as raised:
        read(file, **changes)
    return raised.value.reason, str(raised.value)


def respelt(file: DigestFile, **changes: Any) -> bytes:
    fields = {**json.loads(gzip.decompress(file.body_gz)), **changes}
    return gzip.compress(
        json.dumps({name: value for name, value in fields.items() if value is not ...}).encode(), mtime=0
    )


def test_a_signed_digest_says_its_hour_its_log_files_and_the_digest_before(
    chain: DigestChain, signer: SigningKey
) -> None:
    first, second = written(chain), written(chain, 1)
    begins, follows = read(first), read(second)
    check_signature(begins, signer.public_der)
    check_signature(follows, signer.public_der)
    assert begins.previous is None
    assert follows.previous is not None
    assert (follows.previous.key, follows.previous.sha256) == (begins.key, begins.sha256)
    assert (follows.start_at, follows.end_at) == (AT + HOUR_S, AT + 2 * HOUR_S)
    (file,) = follows.log_files
    assert (file.bucket, file.key) == (BUCKET, "AWSLogs/a.json.gz")
    check_link(begins, follows)


def test_the_text_that_is_signed_is_that_of_the_user_guide(chain: DigestChain) -> None:
    first, second = written(chain), written(chain, 1)
    assert read(first).signed_text.endswith(f"{first.sha256}\nnull".encode())
    text = f"2025-06-15T17:06:40Z\n{BUCKET}/{second.key}\n{second.sha256}\n{first.metadata['signature']}"
    assert read(second).signed_text.decode() == text


@pytest.mark.parametrize("name", ["digestS3Bucket", "digestEndTime", "previousDigestSignature", "logFiles"])
def test_a_missing_field_is_named(chain: DigestChain, name: str) -> None:
    file = written(chain)
    reason, message = refusal(file, data=respelt(file, **{name: ...}))
    assert reason == "bad_format"
    assert name in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digestSignatureAlgorithm": "SHA1withRSA"}, "unknown_algorithm"),
        ({"previousDigestHashAlgorithm": "MD5"}, "unknown_algorithm"),
        (
            {"logFiles": [{"s3Bucket": "b", "s3Object": "k", "hashValue": "00", "hashAlgorithm": "MD5"}]},
            "unknown_algorithm",
        ),
        (
            {"logFiles": [{"s3Bucket": "b", "s3Object": "k", "hashValue": "00", "hashAlgorithm": "SHA-256"}]},
            "bad_format",
        ),
        ({"digestEndTime": "yesterday"}, "bad_format"),
        ({"digestStartTime": "2025-06-15T17:06:40"}, "bad_format"),
        ({"previousDigestS3Object": "half a link"}, "bad_format"),
        ({"logFiles": {}}, "bad_format"),
        ({"digestS3Bucket": "another-bucket"}, "moved"),
        ({"digestS3Object": "another key"}, "moved"),
    ],
)
def test_what_is_not_as_documented_is_refused(chain: DigestChain, changes: dict[str, Any], reason: str) -> None:
    file = written(chain)
    assert refusal(file, data=respelt(file, **changes))[0] == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_gzip"),
        (b"{}", "not_gzip"),
        (gzip.compress(b"{}", mtime=0)[:-9], "not_gzip"),
        (gzip.compress(b"not json", mtime=0), "not_json"),
        (gzip.compress(b'{"digestS3Bucket": "\xff"}', mtime=0), "not_json"),
        (gzip.compress(b"[]", mtime=0), "bad_format"),
        (gzip.compress(b"{}", mtime=0) + gzip.compress(b"{}", mtime=0), "trailing_bytes"),
        (gzip.compress(b"{}", mtime=0) + b"\0", "trailing_bytes"),
    ],
)
def test_what_is_not_one_gzip_member_of_json_is_refused(chain: DigestChain, data: bytes, reason: str) -> None:
    assert refusal(written(chain), data=data)[0] == reason


def test_a_bomb_is_refused_before_it_is_held(chain: DigestChain) -> None:
    bomb = gzip.compress(b" " * (65 * 1024 * 1024), 9)
    assert refusal(written(chain), data=bomb)[0] == "too_large"


@pytest.mark.parametrize("signature", [None, ""])
def test_without_a_signature_nothing_is_proved(chain: DigestChain, signature: str | None) -> None:
    assert refusal(written(chain), signature=signature)[0] == "no_signature"


def test_another_signature_algorithm_in_the_metadata_is_unknown(chain: DigestChain) -> None:
    assert refusal(written(chain), algorithm="SHA512withRSA")[0] == "unknown_algorithm"


def refused_signature(digest: Digest, key: bytes | None) -> str:
    with pytest.raises(Invalid) as raised:
        check_signature(digest, key)
    return raised.value.reason


def test_a_modified_digest_has_no_good_signature(chain: DigestChain, signer: SigningKey) -> None:
    file = written(chain)
    modified = read(file, data=respelt(file, logFiles=[]))
    assert refused_signature(modified, signer.public_der) == "bad_signature"


@pytest.mark.parametrize("signature", ["00" * 256, "no hex", "é", "0"])
def test_a_bad_signature_is_told(chain: DigestChain, signer: SigningKey, signature: str) -> None:
    assert refused_signature(read(written(chain), signature=signature), signer.public_der) == "bad_signature"


def test_a_key_that_is_missing_or_cannot_be_read_proves_nothing(chain: DigestChain) -> None:
    digest = read(written(chain))
    elliptic = (
        generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    assert refused_signature(digest, None) == "no_public_key"
    assert refused_signature(digest, b"not DER") == "bad_public_key"
    assert refused_signature(digest, elliptic) == "bad_public_key"
    assert refused_signature(digest, SigningKey().public_der) == "bad_signature"


@pytest.mark.parametrize(
    "changes",
    [
        {"previousDigestHashValue": "00" * 32},
        {"previousDigestSignature": "00"},
        {"previousDigestS3Object": "another key"},
        {"previousDigestS3Bucket": "another-bucket"},
        {"digestStartTime": "2025-06-15T15:59:59Z"},
    ],
)
def test_a_digest_that_does_not_follow_the_one_before_is_out_of_order(
    chain: DigestChain, changes: dict[str, Any]
) -> None:
    before, after = read(written(chain)), read(written(chain, 1, **changes))
    with pytest.raises(Invalid) as raised:
        check_link(before, after)
    assert raised.value.reason == "chain"


def test_real_digests_are_read() -> None:
    files = sorted(real_data().glob("buckets/aws-docs/AWSLogs/*/CloudTrail-Digest/**/*.json.gz"))
    assert len(files) == 2
    for file in files:
        said = json.loads(gzip.decompress(file.read_bytes()))
        digest = read_digest(
            file.read_bytes(),
            bucket=said["digestS3Bucket"],
            key=said["digestS3Object"],
            signature="00",
            algorithm="SHA256withRSA",
        )
        assert digest.end_at - digest.start_at == HOUR_S
        assert digest.previous is not None
