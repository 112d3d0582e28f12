"""A page of a listing: decoded right, and refused when it is not one."""

from datetime import UTC, datetime

import pytest

from trailhook.sources.aws_xml import UnreadableXml, leaf_texts
from trailhook.sources.s3_listing import Listed, Listing, parse_listing


def page(inner: str, root: str = "ListBucketResult") -> bytes:
    return f'<?xml version="1.0"?><{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def test_an_object_has_its_key_etag_size_and_time_and_nothing_of_its_owner() -> None:
    body = page(
        "<Contents><Key>a</Key><LastModified>2024-02-29T23:59:58.000Z</LastModified><ETag>&quot;abc-2&quot;</ETag>"
        "<Size>17</Size><Owner><ID>me</ID><Key>not this</Key></Owner><StorageClass>STANDARD</StorageClass></Contents>"
    )
    at = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC).timestamp()
    assert parse_listing(body) == Listing(objects=(Listed(key="a", etag="abc-2", size_bytes=17, modified_at=at),))


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a+b%2Bc", "a b+c"),
        ("%2Fleading//double", "/leading//double"),
        ("j%C3%BCrgen/%F0%9F%98%80", "jürgen/😀"),
        ("100%25", "100%"),
        ("a%0Ab%00", "a\nb\0"),
        ("%FF", "\ufffd"),
        ("a&amp;b", "a&b"),
    ],
)
def test_keys_are_decoded_when_the_page_says_that_they_are_encoded(written: str, key: str) -> None:
    body = page(f"<Contents><Key>{written}</Key></Contents><EncodingType>url</EncodingType>")
    assert parse_listing(body).objects[0].key == key


def test_keys_are_left_alone_when_the_page_does_not() -> None:
    assert parse_listing(page("<Contents><Key>a+b%2Bc</Key></Contents>")).objects[0].key == "a+b%2Bc"


def test_directories_are_told_from_the_prefix_that_was_asked_for() -> None:
    inner = "<Prefix>asked/</Prefix><CommonPrefixes><Prefix>asked/one/</Prefix></CommonPrefixes>"
    assert parse_listing(page(inner)) == Listing(prefixes=("asked/one/",))


def test_a_token_counts_only_where_the_page_is_not_the_last() -> None:
    token = "<NextContinuationToken>t=</NextContinuationToken>"
    assert parse_listing(page(f"<IsTruncated>true</IsTruncated>{token}")).next_token == "t="
    assert parse_listing(page(f"<IsTruncated>false</IsTruncated>{token}")).next_token == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        page("<Contents><Key>a</Key></Contents>", root="Error"),
        page("<Contents><Key>a</Key></Contents>")[:-5],
        page("<IsTruncated>true</IsTruncated>"),
        page("<Contents><Key>a</Key><Size>many</Size></Contents>"),
        page("<Contents><Key>a</Key><LastModified>yesterday</LastModified></Contents>"),
    ],
)
def test_what_is_no_page_is_never_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(UnreadableXml):
        parse_listing(body)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE a>",
    ],
)
def test_documents_that_declare_types_or_entities_are_refused(declaration: str) -> None:
    with pytest.raises(UnreadableXml):
        leaf_texts(f"{declaration}<a>&y;</a>".encode())
