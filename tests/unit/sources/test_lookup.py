"""LookupEvents as a way in: windows read to their end, whatever is thrown at them, within what AWS allows."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from support.aws import CREDENTIALS, access
from support.bucket import refusal
from support.clock import START_AT
from support.lookup import Direct, DocumentsInMemory, QuietClock, Watched, record, sts
from support.records import raws
from support.records import read as read_file
from trailhook.demo.lookup_events import DENIED, EXPIRED, INVALID, LookupEvents
from trailhook.errors import (
    AccessDenied,
    CredentialsExpired,
    CredentialsInvalid,
    Misconfigured,
    NeedsAttention,
    ObjectGone,
    Throttled,
    Transient,
)
from trailhook.model import Condition, Credentials, FoundUnit, Unit, Watermark
from trailhook.net.base import Answer, Request
from trailhook.settings import Settings
from trailhook.sources import lookup
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access, Reading
from trailhook.sources.lookup_budget import SPACING_S
from trailhook.sources.lookup_windows import KEPT_S, Window, window_name

HOUR_S = 3_600


class Bench:
    """A history, and a way in that asks for it with no socket between."""

    def __init__(self, *, settings: Settings | None = None, documents: DocumentsInMemory | None = None) -> None:
        self.clock = QuietClock(START_AT)
        self.history = LookupEvents(app=sts(), now=self.clock.now)
        self.direct = Direct(self.history)
        self.documents = documents or DocumentsInMemory()
        self.settings = settings or Settings()
        self.way = self.another_worker()
        self.access = access("", intakes=("lookup",), start_from_at=START_AT - HOUR_S)
        self.marks: dict[tuple[str, str], Watermark] = {}

    def another_worker(self) -> lookup.LookupEvents:
        """One that shares nothing but the store."""
        transport = Watched(self.direct, self.clock)
        identities = Identities(transport, self.settings, self.clock)
        return lookup.LookupEvents(
            transport, identities, self.settings, self.clock, documents=self.documents, rng=Random(3)
        )

    async def poll(self, asker: Access | None = None) -> list[FoundUnit]:
        found: list[FoundUnit] = []
        async for page in self.way.poll(asker or self.access, dict(self.marks)):
            found += page.units
            self.marks |= {(mark.place, mark.prefix): mark for mark in page.marks}
        return found

    async def read(self, unit: FoundUnit, asker: Access | None = None) -> Reading:
        return await self.way.read(asker or self.access, kept(unit))

    async def read_all(self, units: list[FoundUnit]) -> list[bytes]:
        """Every record of some units and of what their reading left over."""
        found: list[bytes] = []
        while units:
            readings = await asyncio.gather(*map(self.read, units))
            for reading in readings:
                found += records(reading.data)
            units = [reading.rest for reading in readings if reading.rest]
        return found

    def lookups(self) -> list[Mapping[str, Any]]:
        return [json.loads(each.body) for each in self.direct.requests if each.body.startswith(b"{")]


def kept(found: FoundUnit) -> Unit:
    return Unit(id=1, source_id="s", **{name: getattr(found, name) for name in FoundUnit.__struct_fields__})


def records(data: bytes) -> list[bytes]:
    return raws(read_file(gzip.decompress(data)).stretches)


def window(start_s: int, end_s: int, category: str = "management") -> FoundUnit:
    """So many seconds before now."""
    span = Window(start_at=int(START_AT) - start_s, end_at=int(START_AT) - end_s)
    name = window_name(category, span)
    return FoundUnit(intake="lookup", place="us-east-1", region="us-east-1", name=name, version="x")


async def test_records_come_out_with_the_bytes_that_cloudtrail_wrote() -> None:
    bench = Bench()
    wanted = [record(number, START_AT - number) for number in range(1, 6)]
    for each in wanted:
        bench.history.add(each)
    reading = await bench.read(window(900, 0))
    assert records(reading.data) == wanted
    assert gzip.decompress(reading.data) == b'{"Records":[%b]}' % b",".join(wanted)


async def test_an_empty_window_is_an_empty_log_file() -> None:
    assert gzip.decompress((await Bench().read(window(900, 0))).data) == b'{"Records":[]}'


async def test_a_window_is_paged_to_its_end_with_the_parameters_that_its_token_is_bound_to() -> None:
    bench = Bench()
    wanted = {record(number, START_AT - number % 800 - 1) for number in range(1_234)}
    for each in wanted:
        bench.history.add(each)
    got = await bench.read_all([window(900, 0)])
    assert set(got) == wanted
    asked = [{name: value for name, value in each.items() if name != "NextToken"} for each in bench.lookups()]
    assert len(asked) == 25
    assert all(each == asked[0] for each in asked)


async def test_a_window_too_large_for_one_reading_is_read_on_where_it_stopped() -> None:
    bench = Bench()
    wanted = {record(number, START_AT - number % 850 - 1) for number in range(6_000)}
    for each in wanted:
        bench.history.add(each)
    began_at = bench.clock.now()
    first = await bench.read(window(900, 0))
    assert bench.clock.now() - began_at < lookup.READ_S + 2 * SPACING_S
    assert first.rest is not None
    assert len(records(first.data)) < 3_000
    got = await bench.read_all([first.rest])
    assert set(got) | set(records(first.data)) == wanted
    assert len(bench.lookups()) <= 6_000 / 50 + 5


async def test_a_second_of_more_events_than_one_reading_takes_is_read_to_its_end() -> None:
    bench = Bench()
    wanted = {record(number, START_AT - 10) for number in range(4_000)}
    for each in wanted:
        bench.history.add(each)
    assert set(await bench.read_all([window(11, 10)])) == wanted


async def test_throttling_costs_time_and_nothing_else() -> None:
    bench = Bench()
    bench.history.throttled_share = 0.3
    wanted = {record(number, START_AT - number % 800 - 1) for number in range(1_500)}
    for each in wanted:
        bench.history.add(each)
    assert set(await bench.read_all([window(900, 450), window(450, 0)])) == wanted
    assert bench.history.throttled > 0
    assert bench.history.busiest() <= 2


async def test_throttling_without_end_hands_the_window_back_in_time() -> None:
    bench = Bench()
    bench.history.throttled_share = 1.0
    with pytest.raises(Throttled):
        await bench.read(window(900, 0))
    assert bench.clock.now() - START_AT <= lookup.READ_S


async def test_what_was_read_before_a_failure_is_kept() -> None:
    bench = Bench()
    for number in range(500):
        bench.history.add(record(number, START_AT - number - 1))

    def fail_the_fourth(_: Request) -> Answer | None:
        return refusal(500, "InternalError") if len(bench.lookups()) == 4 else None

    bench.direct.refuse = fail_the_fourth
    reading = await bench.read(window(900, 0))
    assert len(records(reading.data)) == 150
    assert reading.rest is not None
    assert len(set(await bench.read_all([reading.rest])) | set(records(reading.data))) == 500


async def test_three_sources_of_one_account_on_three_workers_keep_to_its_budget() -> None:
    bench = Bench()
    bench.history.throttled_share = 0.3
    bench.history.accounts = {f"AKIA{number:016}": "123456789012" for number in range(3)}
    wanted = {record(number, START_AT - number % 800 - 1) for number in range(600)}
    for each in wanted:
        bench.history.add(each)
    workers = [bench.another_worker() for _ in range(3)]
    askers = [bench.access.but(credentials=CREDENTIALS.but(access_key_id=key)) for key in bench.history.accounts]

    async def read(worker: lookup.LookupEvents, asker: Access) -> set[bytes]:
        got, units = set[bytes](), [window(900, 0)]
        while units:
            try:
                reading = await worker.read(asker, kept(units.pop()))
            except Throttled:
                units = [window(900, 0)]
                continue
            got |= set(records(reading.data))
            units += [reading.rest] if reading.rest else []
        return got

    results = await asyncio.gather(*map(read, workers, askers))
    assert results == [wanted] * 3
    assert bench.history.busiest() <= 2
    took_s = bench.clock.now() - START_AT
    assert len(bench.lookups()) >= 0.9 * took_s / SPACING_S  # turns do not go to waste either


async def test_regions_and_accounts_have_budgets_of_their_own() -> None:
    bench = Bench()
    other = CREDENTIALS.but(access_key_id="AKIA0000000000000002", role_arn="arn:aws:iam::999999999999:role/reader")
    turns = [("111111111111", "us-east-1"), ("111111111111", "eu-west-1"), ("999999999999", "us-east-1")]
    for account, region in turns:
        await bench.way._budget.turn(account, region, by_at=START_AT)
    assert bench.clock.now() == START_AT
    assert await bench.way._accounts.account(bench.access.but(credentials=other)) == "999999999999"


async def test_an_account_is_asked_for_once_for_each_key() -> None:
    bench = Bench()
    await bench.read_all([window(900, 600), window(600, 300), window(300, 0)])
    assert sum(b"GetCallerIdentity" in each.body for each in bench.direct.requests) == 1


async def test_without_an_account_the_key_has_a_budget_and_is_not_shown() -> None:
    bench = Bench()

    def refuse_sts(request: Request) -> Answer | None:
        return refusal(403, "AccessDenied") if b"GetCallerIdentity" in request.body else None

    bench.direct.refuse = refuse_sts
    await bench.read(window(900, 0))
    ((_, key),) = bench.documents.values
    assert key.startswith("key-")
    assert str(CREDENTIALS.access_key_id) not in key


async def test_a_book_kept_by_a_clock_that_was_wrong_stops_nobody() -> None:
    bench = Bench()
    bench.documents.values["lookup-budget", "123456789012:us-east-1"] = repr(START_AT + 90_000).encode()
    await bench.read(window(900, 0))
    assert len(bench.lookups()) == 1


async def test_insights_are_asked_for_as_such() -> None:
    bench = Bench()
    insight = record(1, START_AT - 5, eventType="AwsCloudTrailInsight")
    bench.history.add(insight, category="insight")
    bench.history.add(record(2, START_AT - 5))
    assert records((await bench.read(window(900, 0, "insight"))).data) == [insight]


async def test_regions_are_looked_at_each_for_itself() -> None:
    bench = Bench()
    there = record(1, START_AT - 70, awsRegion="eu-west-1")
    bench.history.add(there, region="eu-west-1")
    asker = bench.access.but(source=bench.access.source.but(regions=("us-east-1", "eu-west-1")))
    found = await bench.poll(asker)
    assert {each.place for each in found} == {"us-east-1", "eu-west-1"}
    assert await bench.read_all([each for each in found if each.place == "eu-west-1"]) == [there]


@pytest.mark.parametrize(
    ("said", "error"), [(EXPIRED, CredentialsExpired), (INVALID, CredentialsInvalid), (DENIED, AccessDenied)]
)
async def test_refused_credentials_plan_nothing_and_say_what_to_do(
    said: tuple[str, str], error: type[NeedsAttention]
) -> None:
    bench = Bench()
    bench.history.refused_keys[str(CREDENTIALS.access_key_id)] = said
    with pytest.raises(error) as raised:
        await bench.poll()
    assert bench.marks == {}
    if isinstance(raised.value, AccessDenied):
        assert raised.value.action == "cloudtrail:LookupEvents"
    with pytest.raises(error):
        await bench.read(window(900, 0))


async def test_a_region_that_refuses_keeps_the_others_from_nothing() -> None:
    bench = Bench()

    def refuse_there(request: Request) -> Answer | None:
        there = "cloudtrail.eu-west-1" in request.url
        return refusal(400, "UnrecognizedClientException") if there else None

    bench.direct.refuse = refuse_there
    asker = bench.access.but(source=bench.access.source.but(regions=("eu-west-1", "us-east-1")))
    with pytest.raises(CredentialsInvalid):
        await bench.poll(asker)
    assert {place for place, _ in bench.marks} == {"us-east-1"}


async def test_a_source_that_is_well_is_not_probed() -> None:
    bench = Bench()
    await bench.poll()
    before = len(bench.lookups())
    bench.clock.advance(120)
    assert await bench.poll()
    assert len(bench.lookups()) == before
    ill = Condition(state="credentials_expired")
    bench.clock.advance(120)
    await bench.poll(bench.access.but(source=bench.access.source.but(reading=ill)))
    assert len(bench.lookups()) == before + 1


async def test_a_window_is_not_read_before_it_has_ended() -> None:
    with pytest.raises(Transient) as raised:
        await Bench().read(window(900, -30))
    assert raised.value.retry_after_s == 30


async def test_a_window_that_history_has_lost_is_gone_and_one_it_begins_in_is_not() -> None:
    bench = Bench()
    with pytest.raises(ObjectGone):
        await bench.read(window(91 * 86_400, 91 * 86_400 - 900))
    half = KEPT_S + 400
    assert records((await bench.read(window(half, half - 900))).data) == []


async def test_what_is_no_record_costs_its_neighbours_nothing() -> None:
    texts = ['{"eventID":"1"}', '{"torn":[', '{"surrogate":"\\ud800"}', "", '{"a":1},{"b":2}', '{"eventID":"2"}']
    page = json.dumps({"Events": [{"EventTime": START_AT - 1, "CloudTrailEvent": text} for text in texts]}).encode()
    bench = Bench()
    bench.direct.refuse = lambda request: Answer(status=200, body=page) if request.body.startswith(b"{") else None
    plain = gzip.decompress((await bench.read(window(900, 0))).data)
    read = read_file(plain)
    assert [each.decode() for each in raws(read.stretches)] == [texts[0], texts[2], texts[5]]
    assert [json.loads(each.raw) for each in read.bad] == [texts[1], texts[3], texts[4]]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"Events":7}', b"\xff"])
async def test_an_answer_that_is_not_cloudtrails_is_a_misconfiguration(body: bytes) -> None:
    bench = Bench()
    bench.direct.refuse = lambda request: Answer(status=200, body=body) if request.body.startswith(b"{") else None
    with pytest.raises(Misconfigured):
        await bench.read(window(900, 0))


async def test_an_answer_that_repeats_itself_does_not_go_on_for_ever() -> None:
    bench = Bench()
    body = b'{"Events":[],"NextToken":"again"}'
    bench.direct.refuse = lambda request: Answer(status=200, body=body) if request.body.startswith(b"{") else None
    with pytest.raises(Misconfigured):
        await bench.read(window(900, 0))


async def test_how_long_a_window_waited_is_told_but_for_history() -> None:
    bench = Bench()
    young = bench.access.but(source=bench.access.source.but(created_at=START_AT - 500))
    waited = window(400, 0).but(modified_at=START_AT - 300)
    assert (await bench.read(waited, young)).behind_s == 300
    bench.clock.advance(1)
    history = window(2_000, 1_500).but(modified_at=START_AT - 300)
    assert (await bench.read(history, young)).behind_s == 0


async def test_each_region_is_tried_out() -> None:
    bench = Bench()
    asker = bench.access.but(source=bench.access.source.but(regions=("us-east-1", "eu-west-1")))
    assert [(each.name, each.ok) async for each in bench.way.check(asker)] == [
        ("identity", True),
        ("lookup", True),
        ("lookup", True),
    ]
    bench.history.refused_keys[str(CREDENTIALS.access_key_id)] = DENIED
    denied = [each async for each in bench.way.check(bench.access)]
    assert [(each.name, each.ok, each.action) for each in denied][1:] == [("lookup", False, "cloudtrail:LookupEvents")]


async def test_without_keys_there_is_nothing_to_try() -> None:
    bench = Bench()
    nobody = bench.access.but(credentials=Credentials())
    identities = Identities(bench.direct, bench.settings, bench.clock, machine=lambda: None)
    way = lookup.LookupEvents(
        bench.direct, identities, bench.settings, bench.clock, documents=bench.documents, rng=Random(1)
    )
    assert [(each.name, each.ok) async for each in way.check(nobody)] == [("identity", False)]
