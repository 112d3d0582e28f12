"""Which API calls the simulated account makes, how often, and what they ask and answer."""

from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """One API call: how often it is made, and the shape of what it asks and answers (`{name}`s are filled in)."""

    weight: int
    service: str
    name: str
    request: Fields | None = None
    response: Fields | None = None
    reads: bool = True
    data: str = ""
    """The type of its resource if this is a data event."""


_LISTED: Fields = {
    "maxResults": 1000,
    "filterSet": {"items": [{"name": "vpc-id", "valueSet": {"items": [{"value": "vpc-{hex}"}]}}]},
}
_TRAIL: Fields = {"aws:cloudtrail:arn": "arn:aws:cloudtrail:{region}:{account}:trail/management-events"}
_GRANTED: Fields = {
    "credentials": {"accessKeyId": "ASIA{key}", "sessionToken": "{blob}", "expiration": "Jan 31, 2026, 1:00:00 PM"},
    "assumedRoleUser": {
        "assumedRoleId": "AROA{key}:{person}",
        "arn": "arn:aws:sts::{account}:assumed-role/{role}/{person}",
    },
}
_INSTANCE: Fields = {
    "requestId": "{uuid}",
    "reservationId": "r-{hex}",
    "instancesSet": {
        "items": [
            {
                "instanceId": "i-{hex}",
                "imageId": "ami-{hex}",
                "instanceType": "t3.micro",
                "instanceState": {"code": 0, "name": "pending"},
                "vpcId": "vpc-{hex}",
            }
        ]
    },
}

ACTIONS = (
    Action(
        13, "s3", "GetBucketAcl", {"bucketName": "{bucket}", "Host": "{bucket}.s3.{region}.amazonaws.com", "acl": ""}
    ),
    Action(3, "s3", "GetObject", {"bucketName": "{bucket}", "key": "2026/{hex}.parquet"}, data="AWS::S3::Object"),
    Action(10, "kms", "GenerateDataKey", {"keySpec": "AES_256", "keyId": "{keyArn}", "encryptionContext": _TRAIL}),
    Action(
        8,
        "kms",
        "Decrypt",
        {"encryptionContext": {"PARAMETER_ARN": "{parameterArn}"}, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
    ),
    Action(
        6,
        "sts",
        "AssumeRole",
        {"roleArn": "{roleArn}", "roleSessionName": "{person}", "durationSeconds": 3600},
        _GRANTED,
    ),
    Action(3, "sts", "GetCallerIdentity"),
    Action(8, "ec2", "DescribeInstances", _LISTED),
    Action(5, "ec2", "DescribeSecurityGroups", _LISTED),
    Action(4, "ec2", "DescribeRouteTables", _LISTED),
    Action(3, "iam", "GetUser", {"userName": "{person}"}),
    Action(4, "iam", "ListAttachedRolePolicies", {"roleName": "{role}"}),
    Action(3, "lambda", "GetFunction20150331v2", {"functionName": "{functionArn}"}),
    Action(3, "ssm", "GetParameter", {"name": "/prod/{role}/password", "withDecryption": True}),
    Action(2, "cloudtrail", "GetTrailStatus", {"name": "{trailArn}"}),
    Action(
        3,
        "s3",
        "PutObject",
        {"bucketName": "{bucket}", "key": "in/{hex}.gz", "x-amz-acl": "bucket-owner-full-control"},
        reads=False,
        data="AWS::S3::Object",
    ),
    Action(
        1,
        "lambda",
        "Invoke",
        {"functionName": "{functionArn}", "invocationType": "Event"},
        reads=False,
        data="AWS::Lambda::Function",
    ),
    Action(
        2,
        "ec2",
        "RunInstances",
        {
            "instancesSet": {"items": [{"imageId": "ami-{hex}", "minCount": 1, "maxCount": 1}]},
            "instanceType": "t3.micro",
            "monitoring": {"enabled": False},
        },
        _INSTANCE,
        reads=False,
    ),
    Action(
        1,
        "ec2",
        "AuthorizeSecurityGroupIngress",
        {
            "groupId": "sg-{hex}",
            "ipPermissions": {
                "items": [
                    {
                        "ipProtocol": "tcp",
                        "fromPort": 22,
                        "toPort": 22,
                        "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]},
                    }
                ]
            },
        },
        {"requestId": "{uuid}", "_return": True},
        reads=False,
    ),
    Action(
        6,
        "ec2",
        "CreateTags",
        {
            "resourcesSet": {"items": [{"resourceId": "i-{hex}"}]},
            "tagSet": {
                "items": [{"key": "Owner", "value": "{person}"}, {"key": "Überblick", "value": 'a "quoted" \\ value'}]
            },
        },
        reads=False,
    ),
    Action(
        1,
        "iam",
        "CreateAccessKey",
        {"userName": "{person}"},
        {"accessKey": {"userName": "{person}", "accessKeyId": "AKIA{key}", "status": "Active"}},
        reads=False,
    ),
    Action(
        3,
        "iam",
        "AttachRolePolicy",
        {"roleName": "{role}", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        reads=False,
    ),
    Action(
        5,
        "logs",
        "CreateLogStream",
        {"logGroupName": "/aws/lambda/{role}", "logStreamName": "2026/01/31/[$LATEST]{hex}"},
        reads=False,
    ),
    Action(
        1,
        "kms",
        "CreateGrant",
        {"keyId": "{keyArn}", "operations": ["Decrypt", "RetireGrant"]},
        {"grantId": "{hex}{hex}"},
        reads=False,
    ),
    Action(2, "signin", "ConsoleLogin", None, {"ConsoleLogin": "Success"}, reads=False),
)
WEIGHTS = tuple(each.weight for each in ACTIONS)
