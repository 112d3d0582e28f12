"""Published CloudTrail logs, read through the whole pure middle."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.real_data import real_data
from support.records import keys, raws, rows
from trailhook import body
from trailhook.cloudtrail.records import Judge, ReadRecords, event_of
from trailhook.errors import Invalid
from trailhook.intake.cut import cut
from trailhook.intake.inflate import inflate, inflate_chunks
from trailhook.model import DeliveryOptions

pytestmark = pytest.mark.real_data
JUDGE = Judge(scope=b"real", depth_max=200, record_bytes_max=2 * 1024 * 1024)


def files() -> Iterator[tuple[str, bytes]]:
    """Every log file, named by the folder it is from; digests hold no records."""
    buckets = real_data() / "buckets"
    for path in sorted(buckets.rglob("*.gz")):
        if "CloudTrail-Digest" not in path.parts:
            yield path.relative_to(buckets).parts[0], path.read_bytes()
    for path in sorted((real_data() / "odd").glob("*.gz")):
        yield f"odd/{path.name.partition('.')[0]}", path.read_bytes()


def whole(data: bytes) -> ReadRecords:
    return JUDGE.whole(inflate(data, bytes_max=2**24, ratio_max=200))


def test_every_record_is_found_and_repeats_are_known_by_their_keys() -> None:
    expected = json.loads((real_data() / "EXPECTED.json").read_text())["by_bucket"]
    found: dict[str, list[Any]] = {origin: [] for origin in expected}
    for origin, data in files():
        read = whole(data)
        assert read.bad == []
        found[origin] += zip(raws(read.stretches), keys(read.stretches), strict=True)
    for origin, figures in expected.items():
        identified = [key for each, key in found[origin] if event_of(each).event_id]
        assert len(found[origin]) == figures["records"], origin
        assert len(found[origin]) - len(identified) == figures["records_without_eventID"], origin
        assert len(set(identified)) == figures["distinct_account_event_ids"], origin


def test_the_slices_are_the_files_bytes_whichever_way_they_are_read() -> None:
    for _, data in files():
        plain = gzip.decompress(data)
        read = whole(data)
        assert [json.loads(each) for each in raws(read.stretches)] == json.loads(plain)["Records"]
        assert all(each in plain for each in raws(read.stretches))
        chunks = inflate_chunks(data, ratio_max=200, chunk_bytes=1500)
        slices = list(JUDGE.slices(chunks, slice_records_max=10))
        assert rows(each for part in slices for each in part.stretches) == rows(read.stretches)


def test_bodies_hold_every_record_byte_for_byte() -> None:
    found = [each for origin, data in files() if origin == "invictus-ir" for each in whole(data).stretches]
    options = DeliveryOptions(max_events=100, max_bytes=100_000)
    rest = iter(raws(found))
    for group in cut(found, options, source_id="real"):
        batch = body.freeze(group, source_id="real", options=options, batch_id=body.new_batch_id())
        sent = body.wire(batch)
        assert len(sent) <= options.max_bytes
        assert json.loads(sent)["data"]["events"] == [json.loads(next(rest)) for stretch in group for _ in stretch.keys]
    assert next(rest, None) is None


def test_a_digest_is_no_log() -> None:
    digests = [path for path in real_data().rglob("*.gz") if "CloudTrail-Digest" in Path(path).parts]
    assert digests
    for path in digests:
        with pytest.raises(Invalid) as raised:
            whole(path.read_bytes())
        assert raised.value.reason == "no_records"
