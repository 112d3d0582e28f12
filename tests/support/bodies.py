"""Bodies for the API."""

from typing import Any

SECRET_KEY = "CanarySecretAccessKey+0123456789/abcdefgh"


def source_body(**fields: Any) -> dict[str, Any]:
    """The contract's example of a source, with some fields changed; None takes a field away."""
    body = {
        "sourceType": "aws_cloudtrail",
        "name": "prod",
        "credentials": credentials(),
        "logFetchInterval": 300,
        "callbackUrl": "https://example.com/webhook",
        "s3Bucket": "cloudtrail-logs",
        "s3Prefix": "AWSLogs/123456789012/CloudTrail/",
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


def credentials(**fields: Any) -> dict[str, Any]:
    """An access key, with some fields changed; None takes a field away."""
    body = {
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "secretAccessKey": SECRET_KEY,
        "region": "us-east-1",
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}
