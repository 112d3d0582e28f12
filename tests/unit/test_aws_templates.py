"""What sets AWS up for a source allows what the source needs, no more, in either of its two languages."""

import re
from pathlib import Path
from typing import Any

import yaml

from support.store_values import a_source
from trailhook.cloudtrail.policy import minimal_policy

AWS = Path(__file__).parents[2] / "deploy" / "aws"
CLOUDFORMATION = AWS / "trail.cloudformation.yaml"
TERRAFORM = AWS / "trail.tf"
OPTIONAL = {"kms:Decrypt"}
"""For buckets and queues that are encrypted with a key of one's own: these are not."""


class Template(yaml.SafeLoader):  # type: ignore[misc] # PyYAML publishes no types
    """YAML with CloudFormation's own tags, each kept as its argument."""


Template.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def needed() -> set[str]:
    source = a_source().but(
        intakes=("sqs", "s3"),
        bucket="b",
        prefix="AWSLogs/",
        sqs_queue_url="https://sqs.us-east-1.amazonaws.com/1/q",
        verify_integrity=True,
    )
    return {action for each in minimal_policy(source)["Statement"] for action in each["Action"]} - OPTIONAL


def template() -> dict[str, Any]:
    resources: dict[str, Any] = yaml.load(CLOUDFORMATION.read_text(), Template)["Resources"]
    return resources


def allowed_by_cloudformation() -> set[str]:
    (policy,) = template()["Role"]["Properties"]["Policies"]
    actions = [each["Action"] for each in policy["PolicyDocument"]["Statement"]]
    return {action for each in actions for action in ([each] if isinstance(each, str) else each)}


def allowed_by_terraform() -> set[str]:
    document = TERRAFORM.read_text().partition('data "aws_iam_policy_document" "read" {')[2].partition("\n}")[0]
    return set(re.findall(r'"([a-z0-9]+:[A-Za-z]+)"', document))


def test_both_allow_what_a_source_needs_and_the_same() -> None:
    assert needed() <= allowed_by_cloudformation()
    assert allowed_by_cloudformation() == allowed_by_terraform()


def test_neither_allows_anything_to_be_written_but_to_the_queue() -> None:
    verbs = {re.split(r"(?<=[a-z])(?=[A-Z])", action.partition(":")[2])[0] for action in allowed_by_terraform()}
    assert verbs <= {"List", "Get", "Describe", "Receive", "Delete", "Change"}
    assert {action for action in allowed_by_terraform() if re.search("Delete|Change", action)} == {
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
    }


def test_the_role_is_assumed_with_an_external_id_only() -> None:
    (statement,) = template()["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "ExternalId"}}
    assert re.search(r'variable = "sts:ExternalId"\s+values   = \[var.external_id\]', TERRAFORM.read_text())


def test_cloudformation_gets_no_alias_for_it_refuses_them() -> None:
    assert not re.search(r"[:\s][&*][a-z_]+\s*$", CLOUDFORMATION.read_text(), re.MULTILINE)
