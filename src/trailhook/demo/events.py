"""What the simulated account's people and machines do, as CloudTrail would write it.

The mix follows what published logs of real accounts look like: three quarters read, a quarter fails, nine in ten
without `responseElements`, a record about 1.5 kB. Names, accounts and addresses are made up (RFC 5737 addresses).
"""

import json
import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from trailhook.demo.actions import ACTIONS, WEIGHTS, Action, Fields

ACCOUNTS = ("111122223333", "444455556666", "777788889999")
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")
PEOPLE = ("alice", "bob", "zoë", "deploy-bot", "marta.nowak")
ROLES = ("OrganizationAuditRole", "ci-deployer", "AWSServiceRoleForConfig", "data-pipeline")
BUCKETS = ("example-invoices", "example-web-assets", "example-trail-logs", "example-data-lake")
SERVICES = ("cloudtrail.amazonaws.com", "config.amazonaws.com", "delivery.logs.amazonaws.com", "lambda.amazonaws.com")
AGENTS = (
    "aws-cli/2.15.30 md/awscrt#0.19.19 ua/2.0 os/linux#6.1.0 md/arch#x86_64 lang/python#3.11.8 cfg/retry-mode#standard",
    "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#5.10.210 lang/python#3.12.2 Botocore/1.34.69",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.5 (+https://www.terraform.io) terraform-provider-aws/5.42.0 aws-sdk-go-v2",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36",
)
FAILURE_RATE = 0.25
SERVICE_RATE = 0.25
USER_RATE = 0.4


def api_call(chance: random.Random, *, account: str, region: str, at: float) -> bytes:
    """One record of an API call, as the exact bytes of a JSON object on one line."""
    action = chance.choices(ACTIONS, WEIGHTS)[0]
    names = _names(chance, account, region)
    by_service = action.service in ("s3", "kms") and chance.random() < SERVICE_RATE
    identity = _service_identity(chance) if by_service else _identity(chance, names, at)
    caller = identity.get("invokedBy")
    failed = chance.random() < FAILURE_RATE
    record: Fields = {
        "eventVersion": chance.choice(("1.08", "1.09", "1.10")),
        "userIdentity": identity,
        "eventTime": _time(at),
        "eventSource": f"{action.service}.amazonaws.com",
        "eventName": action.name,
        "awsRegion": region,
        "sourceIPAddress": caller or f"203.0.113.{chance.randrange(1, 255)}",
        "userAgent": caller or chance.choice(AGENTS),
        **(_failure(action, identity, names) if failed else {}),
        "requestParameters": _filled(action.request, names),
        "responseElements": None if failed else _filled(action.response, names),
        **_additional(chance, action),
        "requestID": str(_uuid(chance)),
        "eventID": str(_uuid(chance)),
        "readOnly": action.reads,
        **_resources(action, names),
        "eventType": "AwsConsoleSignIn" if action.service == "signin" else "AwsApiCall",
        "managementEvent": not action.data,
        "recipientAccountId": account,
        **({"sharedEventID": str(_uuid(chance))} if by_service else {}),
        "eventCategory": "Data" if action.data else "Management",
        **({} if by_service else {"tlsDetails": _tls(action, region)}),
    }
    return encoded(record)


def insight(chance: random.Random, *, account: str, region: str, at: float) -> bytes:
    """One record of CloudTrail Insights: an unusual rate of calls."""
    rates = {"baseline": {"average": 0.0017857143}, "insight": {"average": round(chance.uniform(2, 90), 10)}}
    details = {
        "state": chance.choice(("Start", "End")),
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "insightType": "ApiCallRateInsight",
        "insightContext": {"statistics": rates},
    }
    return encoded(
        {
            "eventVersion": "1.08",
            "eventTime": _time(at),
            "awsRegion": region,
            "eventID": str(_uuid(chance)),
            "eventType": "AwsCloudTrailInsight",
            "recipientAccountId": account,
            "sharedEventID": str(_uuid(chance)),
            "insightDetails": details,
            "eventCategory": "Insight",
        }
    )


def encoded(value: object) -> bytes:
    """JSON on one line without spaces, as CloudTrail writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _names(chance: random.Random, account: str, region: str) -> Mapping[str, str]:
    role, place = chance.choice(ROLES), f"{region}:{account}"
    return {
        "account": account,
        "region": region,
        "bucket": chance.choice(BUCKETS),
        "person": chance.choice(PEOPLE),
        "role": role,
        "key": "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16)),
        "hex": f"{chance.getrandbits(68):017x}",
        "uuid": str(_uuid(chance)),
        "blob": "IQoJb3JpZ2luX2VjE" + "".join(chance.choices("ABCDEFabcdef0123456789+/", k=280)),
        "roleArn": f"arn:aws:iam::{account}:role/{role}",
        "keyArn": f"arn:aws:kms:{place}:key/{_uuid(chance)}",
        "parameterArn": f"arn:aws:ssm:{place}:parameter/prod/{role}/password",
        "functionArn": f"arn:aws:lambda:{place}:function:{role}",
        "trailArn": f"arn:aws:cloudtrail:{place}:trail/management-events",
    }


def _filled(shape: Any, names: Mapping[str, str]) -> Any:
    """The shape with every `{name}` replaced."""
    if isinstance(shape, str):
        return shape.format_map(names)
    if isinstance(shape, dict):
        return {key: _filled(value, names) for key, value in shape.items()}
    if isinstance(shape, list):
        return [_filled(each, names) for each in shape]
    return shape


def _service_identity(chance: random.Random) -> Fields:
    return {"type": "AWSService", "invokedBy": chance.choice(SERVICES)}


def _identity(chance: random.Random, names: Mapping[str, str], at: float) -> Fields:
    account, person, key = names["account"], names["person"], names["key"]
    if chance.random() < USER_RATE:
        arn = f"arn:aws:iam::{account}:user/{person}"
        user = {"type": "IAMUser", "principalId": f"AIDA{key}", "arn": arn, "accountId": account}
        return {**user, "accessKeyId": f"AKIA{key}", "userName": person}
    issuer = {
        "type": "Role",
        "principalId": f"AROA{key}",
        "arn": names["roleArn"],
        "accountId": account,
        "userName": names["role"],
    }
    return {
        "type": "AssumedRole",
        "principalId": f"AROA{key}:{person}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{names['role']}/{person}",
        "accountId": account,
        "accessKeyId": f"ASIA{key}",
        "sessionContext": {
            "sessionIssuer": issuer,
            "webIdFederationData": {},
            "attributes": {"creationDate": _time(at - 900), "mfaAuthenticated": "false"},
        },
    }


def _failure(action: Action, identity: Fields, names: Mapping[str, str]) -> Fields:
    call = f"{action.service}:{action.name}"
    who = identity.get("arn") or identity["invokedBy"]
    message = f"User: {who} is not authorized to perform: {call} on resource: {names['roleArn']}"
    return {"errorCode": "AccessDenied", "errorMessage": message + " because no identity-based policy allows it"}


def _additional(chance: random.Random, action: Action) -> Fields:
    if action.service == "signin":
        return {"additionalEventData": {"LoginTo": "https://console.aws.amazon.com/", "MFAUsed": "No"}}
    if action.service != "s3":
        return {}
    sent = {"bytesTransferredIn": 0.0, "bytesTransferredOut": chance.randrange(200, 9_000)}
    how = {"SignatureVersion": "SigV4", "CipherSuite": "ECDHE-RSA-AES128-GCM-SHA256"}
    return {
        "additionalEventData": {**how, **sent, "AuthenticationMethod": "AuthHeader", "x-amz-id-2": _uuid(chance).hex}
    }


def _resources(action: Action, names: Mapping[str, str]) -> Fields:
    if action.service == "s3":
        bucket = {"accountId": names["account"], "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{names['bucket']}"}
        return {"resources": [{"type": "AWS::S3::Object", "ARN": f"{bucket['ARN']}/{names['hex']}"}, bucket]}
    if action.service == "kms":
        return {"resources": [{"accountId": names["account"], "type": "AWS::KMS::Key", "ARN": names["keyArn"]}]}
    return {}


def _tls(action: Action, region: str) -> Fields:
    host = f"{action.service}.{region}.amazonaws.com"
    return {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": host}


def _uuid(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
