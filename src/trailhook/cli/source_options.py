"""The options that describe a source, and the API document they make. `source add` and `source set` share them."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from trailhook.cli.documents import Document, read_credentials, without_absent


def source_document(
    *,
    name: Annotated[str | None, Option(help="A name for people.")] = None,
    callback_url: Annotated[str | None, Option(help="Where events are sent.")] = None,
    bucket: Annotated[str | None, Option(help="S3 bucket of the trail; without it LookupEvents is used.")] = None,
    prefix: Annotated[str | None, Option(help="Key prefix in the bucket.")] = None,
    region: Annotated[str | None, Option(help="AWS region of the bucket.")] = None,
    access_key_id: Annotated[
        str | None,
        Option(help="Its secret is AWS_SECRET_ACCESS_KEY if AWS_ACCESS_KEY_ID is this key, else it is asked for."),
    ] = None,
    credentials_file: Annotated[Path | None, Option(help="Read the keys from this AWS credentials file.")] = None,
    profile: Annotated[str, Option(help="Which profile of --credentials-file.")] = "default",
    role_arn: Annotated[str | None, Option(help="Role to assume; without keys, as this machine's identity.")] = None,
    external_id: Annotated[str | None, Option(help="External id that the role asks for.")] = None,
    interval: Annotated[int | None, Option(help="Seconds between two looks, 1 to 86,400.")] = None,
    start_from: Annotated[str | None, Option(help="now, beginning, or a time.")] = None,
    sqs_queue_url: Annotated[str | None, Option(help="Queue with the bucket's notifications.")] = None,
    endpoint_url: Annotated[str | None, Option(help="S3 endpoint to use instead of AWS's.")] = None,
    verify_integrity: Annotated[
        bool | None,
        Option(
            "--verify-integrity/--no-verify-integrity",
            help="Keep the hash of every log file, to be held against CloudTrail's digests.",
        ),
    ] = None,
    hold_until_verified: Annotated[
        bool | None,
        Option(
            "--hold-until-verified/--no-hold-until-verified",
            help="Forward a log file only once a digest lists it, and only as it lists it.",
        ),
    ] = None,
    body_format: Annotated[str | None, Option("--format", help="envelope, ndjson, array or single.")] = None,
    event_format: Annotated[str | None, Option(help="cloudtrail or compact.")] = None,
    compression: Annotated[str | None, Option(help="none or gzip.")] = None,
    max_events: Annotated[int | None, Option(help="Most events in one request.")] = None,
    max_bytes: Annotated[int | None, Option(help="Most bytes in one request.")] = None,
    ordered: Annotated[bool | None, Option("--ordered/--unordered", help="One request at a time, in order.")] = None,
) -> Document:
    """What was given, as the API's document; what was not given is not in it."""
    keys = read_credentials(access_key_id=access_key_id, file=credentials_file, profile=profile, environ=os.environ)
    return without_absent(
        {
            "name": name,
            "credentials": {**keys, "region": region, "roleArn": role_arn, "externalId": external_id},
            "logFetchInterval": interval,
            "callbackUrl": callback_url,
            "s3Bucket": bucket,
            "s3Prefix": prefix,
            "startFrom": start_from,
            "sqsQueueUrl": sqs_queue_url,
            "endpointUrl": endpoint_url,
            "verifyIntegrity": verify_integrity,
            "holdUntilVerified": hold_until_verified,
            "delivery": {
                "format": body_format,
                "eventFormat": event_format,
                "compression": compression,
                "maxEvents": max_events,
                "maxBytes": max_bytes,
                "ordered": ordered,
            },
        }
    )


def takes_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the options above; it gets their document as `given`."""
    own = [each for each in inspect.signature(command).parameters.values() if each.name != "given"]
    shared = inspect.signature(source_document).parameters

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        given = source_document(**{name: values.pop(name) for name in shared})
        command(given=given, **values)

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    with_options.__signature__ = inspect.Signature([*own, *shared.values()])  # type: ignore[attr-defined]
    return with_options
