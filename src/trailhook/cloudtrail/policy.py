"""The least that AWS must allow for a source to be fetched, as an IAM policy.

Source: the "Actions, resources, and condition keys" of S3, SQS, KMS, CloudTrail and STS in AWS's service
authorization reference.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from trailhook.cloudtrail.keys import inside_account
from trailhook.model import Source

VERSION = "2012-10-17"
_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.")
_QUEUE = re.compile(r"^/(\d{12})/([A-Za-z0-9_.-]{1,80})/?$")
Statement = dict[str, Any]


def minimal_policy(source: Source) -> dict[str, Any]:
    """What the identity that fetches (the role, where one is assumed) must be allowed."""
    arn = f"arn:{partition(source.region)}"
    statements: list[Statement] = []
    if {"s3", "sqs"} & set(source.intakes):
        statements += _bucket(arn, source, lists="s3" in source.intakes)
    if source.verify_integrity and source.bucket is not None:
        statements += _digests(arn, source)
    if "sqs" in source.intakes and source.sqs_queue_url is not None:
        statements += _queue(arn, source.region, source.sqs_queue_url)
    if "lookup" in source.intakes:
        statements.append(_allow("LookUpEvents", ["cloudtrail:LookupEvents"], "*"))
    return {"Version": VERSION, "Statement": statements}


def keys_policy(source: Source) -> dict[str, Any] | None:
    """What the access key itself must be allowed when it assumes a role; None where it does not."""
    if source.role_arn is None:
        return None
    return {"Version": VERSION, "Statement": [_allow("AssumeTheRole", ["sts:AssumeRole"], source.role_arn)]}


def partition(region: str) -> str:
    """The partition that a region is in, as ARNs name it."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _bucket(arn: str, source: Source, *, lists: bool) -> list[Statement]:
    """Without a bucket of its own a source reads whatever its queue announces, in whichever bucket that is."""
    bucket, prefix = source.bucket or "*", source.prefix
    name = "ReadLogFiles" if source.bucket else "ReadLogFilesInEveryBucketThatTheQueueAnnounces"
    get = _allow(name, ["s3:GetObject"], f"{arn}:s3:::{bucket}/{prefix}*")
    anything_in_it = f"{arn}:s3:::{bucket.rstrip('*')}*"
    decrypt = _decrypt("OnlyIfTheBucketIsEncryptedWithAKeyOfYours", "aws:s3:arn", anything_in_it)
    if not lists:
        return [get, decrypt]
    listing = _allow("FindLogFiles", ["s3:ListBucket"], f"{arn}:s3:::{bucket}")
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    return [listing, get, decrypt]


def _digests(arn: str, source: Source) -> list[Statement]:
    """Public keys belong to nobody. Digests lie in a directory beside the logs, outside a prefix that goes so far."""
    keys = _allow("CheckWhatDigestsAreSignedWith", ["cloudtrail:ListPublicKeys"], "*")
    inside = inside_account(source.prefix)
    if "s3" in source.intakes and (inside is None or inside.trail is None):
        return [keys]
    prefix = inside.directory(inside.region or "") if inside else source.prefix
    listing = _allow("FindDigests", ["s3:ListBucket"], f"{arn}:s3:::{source.bucket}")
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    return [keys, listing, _allow("ReadDigests", ["s3:GetObject"], f"{arn}:s3:::{source.bucket}/{prefix}*")]


def _queue(arn: str, region: str, url: str) -> list[Statement]:
    parts = urlsplit(url)
    of_region = _HOST.match(parts.hostname or "")
    named = _QUEUE.match(parts.path)
    account, name = (named[1], named[2]) if named else ("*", "*")
    resource = f"{arn}:sqs:{of_region[1] if of_region else region}:{account}:{name}"
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    decrypt = _decrypt("OnlyIfTheQueueIsEncryptedWithAKeyOfYours", "aws:sqs:arn", resource)
    return [_allow("TakeNotifications", actions, resource), decrypt]


def _decrypt(name: str, context: str, resource: str) -> Statement:
    """With any key, but only what was encrypted for that resource: which key it is, nobody told us."""
    condition = {"StringLike": {f"kms:EncryptionContext:{context}": resource}}
    return {**_allow(name, ["kms:Decrypt"], "*"), "Condition": condition}


def _allow(name: str, actions: list[str], resource: str) -> Statement:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}
