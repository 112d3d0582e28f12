"""From the fields of the source form to the documents that the API takes, and from a source to the fields: pure.

A field is named as the API names it in a document, with dots (`credentials.region`): so its errors find their place.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trailhook.api.answers import SourceView
from trailhook.api.schemas import SOURCE_TYPE

CREDENTIALS = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration", "roleArn", "externalId")
_NUMBERS = frozenset({"logFetchInterval", "delivery.maxEvents", "delivery.maxBytes"})
_LISTS = frozenset({"regions", "filter.redact"})
_PATTERNS = frozenset({"filter.include", "filter.exclude"})
_FLAGS = frozenset({"delivery.ordered", "verifyIntegrity", "holdUntilVerified"})
_TEXTS = (
    *("name", "callbackUrl", "s3Bucket", "s3Prefix", "sqsQueueUrl", "endpointUrl", "caCertificate", "startFrom"),
    *("credentials.region", *(f"credentials.{name}" for name in CREDENTIALS)),
    *("delivery.format", "delivery.eventFormat", "delivery.compression"),
)
FIELDS = frozenset({*_TEXTS, *_NUMBERS, *_LISTS, *_PATTERNS, *_FLAGS, "delivery.headers"})
"""Every field there is."""


def new_document(form: Mapping[str, str]) -> dict[str, Any]:
    """What `POST /add-source` takes: whatever was filled in."""
    return {"sourceType": SOURCE_TYPE, "credentials": {}, **_nested(_filled(form))}


def changes(form: Mapping[str, str], before: Mapping[str, str]) -> dict[str, Any]:
    """What `PATCH /sources/{id}` takes: whatever differs from `before`; emptied fields as null."""
    filled, kept = _filled(form), _filled(before)
    changed: dict[str, Any] = {name: value for name, value in filled.items() if kept.get(name) != value}
    changed |= {name: None for name in kept.keys() - filled.keys() if name in form or name in _FLAGS}
    if any(name.removeprefix("credentials.") in CREDENTIALS for name in changed if name.startswith("credentials.")):
        changed |= {name: value for name, value in filled.items() if name.startswith("credentials.")}
    if any(name.startswith("filter.") for name in changed):
        changed = {name: value for name, value in changed.items() if not name.startswith("filter.")}
        whole = {name: value for name, value in filled.items() if name.startswith("filter.")}
        changed |= whole or {"filter": None}
    return _nested(changed)


def shown(source: SourceView) -> dict[str, str]:
    """The fields of a source as the form shows them first: nothing that is secret, as much as is known else."""
    credentials, delivery = source.credentials, source.delivery
    rules = source.filter
    fields = {
        "name": source.name,
        "callbackUrl": source.callback_url,
        "s3Bucket": source.s3_bucket,
        "s3Prefix": source.s3_prefix,
        "sqsQueueUrl": source.sqs_queue_url,
        "endpointUrl": source.endpoint_url,
        "caCertificate": source.ca_certificate,
        "startFrom": source.start_from,
        "regions": ", ".join(source.regions),
        "logFetchInterval": str(source.log_fetch_interval),
        "verifyIntegrity": "on" if source.verify_integrity else "",
        "holdUntilVerified": "on" if source.hold_until_verified else "",
        "credentials.region": credentials.region,
        "delivery.format": delivery.format,
        "delivery.eventFormat": delivery.event_format,
        "delivery.compression": delivery.compression,
        "delivery.maxEvents": str(delivery.max_events),
        "delivery.maxBytes": str(delivery.max_bytes),
        "delivery.ordered": "on" if delivery.ordered else "",
        "filter.include": _lines(rules.include) if rules else "",
        "filter.exclude": _lines(rules.exclude) if rules else "",
        "filter.redact": ", ".join(rules.redact) if rules else "",
    }
    return {name: value.strip() for name, value in fields.items() if value}


def placed(errors: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Errors by the field of the form that they belong to; those that belong to none are under the empty name."""
    found: dict[str, list[str]] = {}
    for error in errors:
        field = _field_of(error["field"])
        said = error["message"] if field else f"{error['field']} {error['message']}"
        found.setdefault(field, []).append(said)
    return {field: "; ".join(said) for field, said in found.items()}


def _field_of(named: str) -> str:
    """`regions.2` is in `regions`; `credentials` as a whole shows at the key."""
    if named == "credentials":
        return "credentials.accessKeyId"
    parts = named.split(".")
    return next((field for end in range(len(parts), 0, -1) if (field := ".".join(parts[:end])) in FIELDS), "")


def _filled(form: Mapping[str, str]) -> dict[str, Any]:
    """The fields that hold something, by name, as the API wants each."""
    return {name: _value(name, text) for name, text in form.items() if name in FIELDS and text}


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text
    if name in _LISTS:
        return [each for each in re.split(r"[,\s]+", text) if each]
    if name in _FLAGS:
        return True
    if name in _PATTERNS:
        return {path: _patterns(rest) for path, rest in _pairs(text)}
    return dict(_pairs(text)) if name == "delivery.headers" else text


def _pairs(text: str) -> list[tuple[str, str]]:
    """Lines like `name: value`."""
    split = (line.partition(":") for line in text.splitlines() if line.strip())
    return [(name.strip(), value.strip()) for name, _, value in split]


def _patterns(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _lines(rules: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(f"{path}: {', '.join(patterns)}" for path, patterns in rules.items())


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    document: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        place = document
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return document
