"""What digests say of a stretch of time: every moment of it is told of, once."""

import pytest

from trailhook.cloudtrail.chain import Chain, Span
from trailhook.cloudtrail.digests import Digest, Previous
from trailhook.cloudtrail.keys import DigestKey
from trailhook.errors import Invalid

HOUR_S = 3_600.0
OFFSET_S = 91.0
BAD = Invalid("bad_signature", "it was altered")


def at(hour: float) -> float:
    """CloudTrail's hours begin at no full hour."""
    return 1_750_000_000.0 + hour * HOUR_S + OFFSET_S


def digest(hour: int, *, previous: int | None = -1, bucket: str = "b", end: float | None = None) -> Digest:
    """The digest of an hour; it follows that of the hour before, of hour `previous`, or (None) of none."""
    before = hour - 1 if previous == -1 else previous
    link = None if before is None else Previous(bucket=bucket, key=f"k{before}", sha256=b"%d" % before, signature="s")
    return Digest(
        bucket="b",
        key=f"k{hour}",
        start_at=at(hour),
        end_at=at(hour + 1 if end is None else end),
        end_time="",
        fingerprint="",
        previous=link,
        log_files=(),
        sha256=b"%d" % hour,
        signature="s",
    )


def told(
    from_hour: float, to_hour: float, *read: Digest | tuple[int, Invalid], begins: bool = True
) -> list[tuple[float, float, str]]:
    """The spans in hours: from, to, and why they prove nothing, if so."""
    chain = Chain(at(from_hour), at(to_hour), begins=begins)
    spans: list[Span] = []
    for each in read:
        assert not chain.done
        if isinstance(each, Digest):
            spans += chain.take(DigestKey(key=each.key, trail="t", labelled_at=each.end_at), each)
        else:
            spans += chain.take(DigestKey(key=f"k{each[0]}", trail="t", labelled_at=at(each[0] + 1)), each[1])
    spans += chain.end()
    assert all(bool(span.reason) == (span.digest is None) for span in spans)
    return [((span.start_at - at(0)) / HOUR_S, (span.end_at - at(0)) / HOUR_S, span.reason) for span in spans]


def test_hours_in_order_are_told_of_one_by_one() -> None:
    assert told(1, 3, digest(0), digest(1), digest(2)) == [(1, 2, ""), (2, 3, "")]


def test_a_deleted_digest_is_found_and_so_are_two_in_a_row() -> None:
    assert told(0, 3, digest(0), digest(2)) == [(0, 1, ""), (1, 2, "gone"), (2, 3, "")]
    assert told(0, 4, digest(0), digest(3)) == [(0, 1, ""), (1, 3, "gone"), (3, 4, "")]


def test_a_gap_where_validation_was_off_is_told_apart_from_a_deletion() -> None:
    assert told(0, 3, digest(0), digest(2, previous=None)) == [(0, 1, ""), (1, 2, "began"), (2, 3, "")]


def test_hours_that_do_not_meet_are_a_gap_even_where_the_links_do() -> None:
    assert told(0, 3, digest(0), digest(2, previous=0)) == [(0, 1, ""), (1, 2, "gap"), (2, 3, "")]


def test_a_digest_that_follows_one_in_another_bucket_says_so() -> None:
    assert told(0, 2, digest(1, bucket="former")) == [(0, 1, "other_bucket"), (1, 2, "")]


def test_what_no_digest_follows_is_told_up_to_the_end() -> None:
    assert told(0, 3, digest(0)) == [(0, 1, ""), (1, 3, "none")]
    assert told(0, 3) == [(0, 3, "none")]


def test_a_gap_ends_where_the_question_ends() -> None:
    assert told(0, 2, digest(0), digest(5)) == [(0, 1, ""), (1, 2, "gone")]


def test_a_bad_digest_is_told_and_does_not_spoil_the_next() -> None:
    assert told(0, 3, digest(0), (1, BAD), digest(2)) == [(0, 1, ""), (1, 2, "bad_signature"), (2, 3, "")]


def test_what_is_missing_before_a_bad_digest_is_told_too() -> None:
    assert told(0, 3, digest(0), (2, BAD)) == [(0, 1, ""), (1, 2, "none"), (2, 3, "bad_signature")]


def test_a_digest_that_follows_another_version_proves_nothing() -> None:
    other = digest(0).but(sha256=b"replaced")
    assert told(0, 2, other, digest(1)) == [(0, 1, ""), (1, 2, "chain")]


def test_hours_that_overlap_are_out_of_order_unless_a_chain_begins() -> None:
    assert told(0, 2, digest(0, end=1.5), digest(1))[1] == (1, 2, "chain")
    assert told(0, 2, digest(0, end=1.5), digest(1, previous=None))[1] == (1, 2, "")


@pytest.mark.parametrize("begins", [True, False])
def test_an_hour_across_two_windows_is_told_of_once(begins: bool) -> None:
    spans = told(1.5, 3, digest(0), digest(1), digest(2), begins=begins)
    assert spans == [*([(1, 2, "")] if begins else []), (2, 3, "")]


def test_the_hour_that_reaches_beyond_the_end_is_told_of_whole() -> None:
    assert told(0, 1.5, digest(0), digest(1)) == [(0, 1, ""), (1, 2, "")]


def test_nothing_is_asked_beyond_the_first_digest_behind_the_end() -> None:
    chain = Chain(at(0), at(1), begins=True)
    for each in (digest(0), digest(1)):
        assert not chain.done
        chain.take(DigestKey(key=each.key, trail="t", labelled_at=each.end_at), each)
    assert chain.done
