"""From the fields of the form to documents of the API."""

from trailhook.web.given import changes, new_document, placed

BEFORE = {
    "name": "prod",
    "s3Bucket": "logs",
    "s3Prefix": "AWSLogs/",
    "credentials.region": "us-east-1",
    "logFetchInterval": "300",
    "delivery.ordered": "on",
    "filter.exclude": "eventName: List*, Get*",
    "filter.include": "awsRegion: eu-*",
}


def test_what_is_filled_in_becomes_a_document() -> None:
    form = {
        "name": "",
        "callbackUrl": "https://example.com/",
        "credentials.region": "us-east-1",
        "logFetchInterval": "60",
        "regions": "us-east-1, eu-west-1",
        "delivery.maxEvents": "10",
        "delivery.headers": "Authorization: Bearer a:b\nX-Team: audit",
        "filter.exclude": "eventName: List*, Get*\n\nreadOnly: true",
        "key": "not a field of a source",
    }
    assert new_document(form) == {
        "sourceType": "aws_cloudtrail",
        "callbackUrl": "https://example.com/",
        "credentials": {"region": "us-east-1"},
        "logFetchInterval": 60,
        "regions": ["us-east-1", "eu-west-1"],
        "delivery": {"maxEvents": 10, "headers": {"Authorization": "Bearer a:b", "X-Team": "audit"}},
        "filter": {"exclude": {"eventName": ["List*", "Get*"], "readOnly": ["true"]}},
    }


def test_a_number_that_is_none_goes_to_the_rules_as_it_is() -> None:
    assert new_document({"logFetchInterval": "soon"})["logFetchInterval"] == "soon"


def test_a_form_sent_back_as_it_was_changes_nothing() -> None:
    assert changes(BEFORE, BEFORE) == {}


def test_only_what_differs_is_changed_and_what_is_emptied_is_cleared() -> None:
    form = {**BEFORE, "name": "new", "s3Prefix": "", "logFetchInterval": "60"}
    assert changes(form, BEFORE) == {"name": "new", "s3Prefix": None, "logFetchInterval": 60}


def test_a_box_that_is_not_ticked_any_more_is_cleared() -> None:
    form = {name: value for name, value in BEFORE.items() if name != "delivery.ordered"}
    assert changes(form, BEFORE) == {"delivery": {"ordered": None}}


def test_new_keys_replace_the_credentials_as_a_whole() -> None:
    form = {**BEFORE, "credentials.accessKeyId": "AKIA", "credentials.secretAccessKey": "s"}
    assert changes(form, BEFORE) == {
        "credentials": {"region": "us-east-1", "accessKeyId": "AKIA", "secretAccessKey": "s"}
    }
    assert changes({**BEFORE, "credentials.region": "eu-west-1"}, BEFORE) == {"credentials": {"region": "eu-west-1"}}


def test_a_filter_is_changed_as_a_whole_or_cleared() -> None:
    form = {**BEFORE, "filter.exclude": ""}
    assert changes(form, BEFORE) == {"filter": {"include": {"awsRegion": ["eu-*"]}}}
    assert changes({**form, "filter.include": ""}, BEFORE) == {"filter": None}


def test_errors_find_the_field_that_they_belong_to() -> None:
    errors = [
        {"field": "regions.2", "message": "bad"},
        {"field": "credentials.roleArn", "message": "wrong"},
        {"field": "credentials", "message": "refused"},
        {"field": "sourceType", "message": "odd"},
    ]
    assert placed(errors) == {
        "regions": "bad",
        "credentials.roleArn": "wrong",
        "credentials.accessKeyId": "refused",
        "": "sourceType odd",
    }
