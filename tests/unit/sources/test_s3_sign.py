"""Our signature of a GET is botocore's, whatever the key, the query, the headers and the endpoint."""

from hypothesis import given
from hypothesis import strategies as st

from trailhook.model import Value
from trailhook.sources.aws import Call, Keys, botocore_headers, signed_headers
from trailhook.sources.s3_client import Place, object_url

NAMES = st.text(st.characters(codec="utf-8"), max_size=30)
QUERIES = st.dictionaries(st.sampled_from(["prefix", "list-type", "start-after", "delimiter", "max-keys"]), NAMES)
ENDPOINTS = st.sampled_from(
    [None, "http://127.0.0.1:9000", "https://minio.example:443/", "http://Minio.Example:80", "http://[::1]:9000/base"]
)
HEADERS = st.sampled_from([[], [("if-match", '"abc"')], [("Range", "bytes=0-9"), ("x-amz-meta-a", "  two   words ")]])
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


class Where(Value, frozen=True):
    """Part of what is signed."""

    bucket: str
    region: str


@given(
    where=st.builds(Where, st.sampled_from(["logs", "dotted.logs"]), st.sampled_from(["us-east-1", "cn-north-1"])),
    endpoint=ENDPOINTS,
    key=NAMES,
    query=QUERIES,
    headers=HEADERS,
    token=st.none() | PRINTABLE,
    secret=PRINTABLE,
    now=st.floats(0, 4e9),
)
def test_it_signs_as_botocore_does(
    where: Where,
    endpoint: str | None,
    key: str,
    query: dict[str, str],
    headers: list[tuple[str, str]],
    token: str | None,
    secret: str,
    now: float,
) -> None:
    place = Place(bucket=where.bucket, endpoint_url=endpoint, region=where.region)
    call = Call(
        operation="GetObject",
        service="s3",
        region=where.region,
        url=object_url(place, key, query),
        headers=headers,
        answer_bytes_max=1,
        deadline_s=1.0,
    )
    keys = Keys(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key=secret, session_token=token)
    assert sorted(signed_headers(call, keys, now)) == sorted(botocore_headers(call, keys, now))
