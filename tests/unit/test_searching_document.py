"""docs/searching.md: each example of a query, run over a few events."""

import re
from pathlib import Path
from typing import Any

import pytest

from support.records import frozen, record
from trailhook import body
from trailhook.cloudtrail.columns import Packed
from trailhook.search.grammar import ALIASES, FIELDS, parse
from trailhook.search.match import Matcher

PAGE = (Path(__file__).parents[2] / "docs" / "searching.md").read_text()
EXAMPLES = re.findall(r"^\| `(.+?)` \| ", PAGE.partition("## Fields")[0], re.MULTILINE)

ALICE = {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/alice"}
BOB = {"type": "IAMUser", "arn": "arn:aws:iam::444455556666:user/bob"}
NO_MFA = {**BOB, "sessionContext": {"attributes": {"mfaAuthenticated": "false"}}}
EVENTS: dict[str, dict[str, Any]] = {
    "sign-in": {"eventName": "ConsoleLogin", "eventSource": "signin.amazonaws.com", "sourceIPAddress": "203.0.113.7"},
    "read": {"eventName": "GetObject", "requestParameters": {"bucketName": "example-invoices"}},
    "write": {"eventName": "PutObject", "readOnly": False, "userIdentity": NO_MFA},
    "denied": {"eventName": "DeleteObject", "readOnly": False, "errorCode": "AccessDenied", "userIdentity": ALICE},
    "role": {"eventName": "AssumeRole", "eventSource": "sts.amazonaws.com", "sourceIPAddress": "198.51.100.1"},
    "service": {"eventName": "AssumeRole", "sourceIPAddress": "lambda.amazonaws.com", "awsRegion": "eu-central-1"},
    "trail": {"eventName": "DeleteTrail", "eventSource": "cloudtrail.amazonaws.com", "eventID": "7c1b2a9e-1"},
}
ELSEWHERE = {"userIdentity": BOB, "recipientAccountId": "111122223333"}
FOUND = {
    "eventName:ConsoleLogin": {"sign-in"},
    "eventName:Get*": {"read"},
    "eventName:PutObject,DeleteObject": {"write", "denied"},
    "eventName:DeleteTrail": {"trail"},
    "eventSource:s3.amazonaws.com -readOnly:true": {"write", "denied"},
    "errorCode:*": {"denied"},
    "NOT errorCode:*": set(EVENTS) - {"denied"},
    "errorCode:AccessDenied user:*alice*": {"denied"},
    'user:"arn:aws:iam::111122223333:user/alice"': {"denied"},
    "ip:203.0.113.0/24": {"sign-in"},
    "ip:203.0.113.7,lambda.amazonaws.com": {"sign-in", "service"},
    "account:111122223333 region:eu-central-1": {"service"},
    "eventName:AssumeRole -ip:203.0.113.0/24": {"role", "service"},
    "example-invoices": {"read"},
    '"mfaAuthenticated\\":\\"false" eventName:*': {"write"},
    "eventId:7c1b2a9e-*": {"trail"},
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_finds_what_it_is_said_to_find(example: str) -> None:
    records = [record(number, **ELSEWHERE | fields) for number, fields in enumerate(EVENTS.values())]
    batch = frozen(records, source_id="s1", batch_id="msg_1")
    columns, matcher = Packed(batch.columns), Matcher(parse(example))
    positions = matcher.positions(columns)
    if matcher.reads_bodies:
        positions = matcher.confirmed(body.inflated(batch), columns.starts, positions)
    assert {list(EVENTS)[position] for position in positions} == FOUND[example]


def test_no_example_is_forgotten() -> None:
    assert list(FOUND) == EXAMPLES


def test_the_page_names_every_field() -> None:
    fields = PAGE.partition("## Fields")[2].partition("## ")[0]
    assert [name for name in (*FIELDS, *ALIASES) if f"`{name}`" not in fields] == []
