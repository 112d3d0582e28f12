"""Every trouble reaches people: once at the callback, once at the notify URL, and it ends with nothing lost."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws
from support.product import SECRET_KEY, running
from support.receiver import Receiver, receiving
from support.samples import log_key, record
from support.story import MINUTE_S, Between, Story, is_get, refused, telling
from support.webserver import Received, response
from trailhook.clock import rfc3339
from trailhook.doctor import examine
from trailhook.errors import SettingsError, Transient

HOUR_S = 3_600.0
SECRET = "canary-in-a-notify-url"
NEW_KEYS = {"accessKeyId": "AKIAIOSFODNN7NEWKEYS", "secretAccessKey": SECRET_KEY, "region": "us-east-1"}


@pytest.fixture
async def people() -> AsyncIterator[Receiver]:
    """Where notices to `TRAILHOOK_NOTIFY_URLS` arrive."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def between(aws: SimulatedAws) -> AsyncIterator[Between]:
    between = Between(aws)
    async with between.server:
        yield between


def url_of(people: Receiver) -> str:
    return f"json://{people.host}/{SECRET}/"


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws, between: Between, people: Receiver) -> AsyncIterator[Story]:
    urls = (url_of(people),)
    async with telling(tmp_path, aws, endpoint_url=between.endpoint_url, notify_urls=urls) as story:
        yield story


def told(people: Receiver) -> list[str]:
    """What people were told of, in order, by the last words of each title."""
    return [each.document["title"].rpartition(": ")[2] for each in people.taken]


def message(people: Receiver, number: int = -1) -> str:
    return str(people.taken[number].document["message"])


async def minutes(story: Story, count: int, *, at_once: int = 1) -> None:
    """Let time go by, some minutes `at_once`, with what the janitor sees in it."""
    for _ in range(count // at_once):
        story.clock.advance(at_once * MINUTE_S)
        await story.product.work()
        await story.product.jobs.janitor()
        await story.product.work()


def kms(request: Received) -> bytes | None:
    said = "User is not authorized to perform: kms:Decrypt on the resource"
    body = f"<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>".encode()
    return response(403, body) if is_get(request) else None


def always(status: int, code: str) -> Any:
    return lambda _: refused(status, code)


TROUBLES = {
    "expired": (always(400, "ExpiredToken"), "credentials_expired", "fresh credentials"),
    "invalid": (always(403, "InvalidAccessKeyId"), "credentials_invalid", "valid access key"),
    "denied": (always(403, "AccessDenied"), "access_denied", "s3:ListBucket"),
    "skewed clock": (always(403, "RequestTimeTooSkewed"), "clock_skewed", "NTP"),
    "wrong region": (always(301, "PermanentRedirect"), "misconfigured", "Correct the region"),
    "no such bucket": (always(404, "NoSuchBucket"), "misconfigured", "Correct s3Bucket"),
    "KMS denied": (kms, "access_denied", "kms:Decrypt"),
}


@pytest.mark.parametrize(("refuse", "state", "remedy"), TROUBLES.values(), ids=TROUBLES)
async def test_each_trouble_has_its_status_its_remedy_and_one_notice_each_way_and_its_end_loses_nothing(
    story: Story, between: Between, people: Receiver, refuse: Any, state: str, remedy: str
) -> None:
    await story.add()
    between.refuse = refuse
    story.put([record(1), record(2)])
    await minutes(story, 10)
    source = await story.product.api.get(f"/sources/{story.source}")
    assert source["status"] == source["fetch"]["state"] == state
    assert remedy in source["fetch"]["remedy"]
    assert (story.notices(), told(people)) == ([f"source.{state}"], [state.replace("_", " ")])
    assert remedy in message(people)
    between.refuse = lambda _: None
    if state.startswith("credentials"):
        await story.patch(credentials=NEW_KEYS)
    await minutes(story, 1)
    assert sorted(story.ids()) == [record(1)["eventID"], record(2)["eventID"]]
    assert await story.state() == "active"
    assert story.notices() == [f"source.{state}", "source.recovered"]
    assert told(people) == [state.replace("_", " "), "recovered"]


async def test_that_a_callback_is_dead_reaches_people_although_it_cannot_reach_the_callback(
    story: Story, people: Receiver
) -> None:
    story.receiver.answer = lambda _: 500
    story.put([record(1)])
    await story.add()
    await minutes(story, 20, at_once=5)
    assert await story.state() == "delivery_failing"
    assert (story.notices(), told(people)) == ([], ["delivery failing"])
    await minutes(story, 60, at_once=10)
    assert told(people) == ["delivery failing"]
    story.receiver.answer = lambda _: 200
    await minutes(story, 60, at_once=10)
    assert told(people) == ["delivery failing", "recovered"]
    assert people.taken[-1].document["type"] == "success"
    assert story.ids() == [record(1)["eventID"]]


async def test_that_dead_letters_are_full_reaches_people_while_the_source_holds_its_own_notice(
    tmp_path: Path, aws: SimulatedAws, people: Receiver
) -> None:
    async with telling(tmp_path, aws, dead_letter_bytes_max=1, notify_urls=(url_of(people),)) as story:
        story.receiver.answer = lambda delivery: 413
        story.put([record(1)])
        await story.add()
        assert (story.notices(), told(people)) == ([], ["needs attention"])
        assert "dead letters" in message(people)


async def test_a_dead_notify_url_is_named_by_number_and_costs_the_others_nothing(
    tmp_path: Path, aws: SimulatedAws, people: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with receiving() as dead:
        dead.answer = lambda _: 500
        urls = (url_of(dead), url_of(people))
        async with telling(tmp_path, aws, notify_urls=urls) as story:
            await story.add(s3Bucket="absent-in-this-account")
            await minutes(story, 5)
            assert told(people) == ["misconfigured"]
            assert 3 <= len(dead.deliveries) <= 6
            assert dead.taken == []
            metrics = (await story.product.api.call("GET", "/metrics")).body.decode()
            assert 'trailhook_notices_total{outcome="sent",url="2"} 1.0' in metrics
            assert f'trailhook_notices_total{{outcome="failed",url="1"}} {len(dead.deliveries)}.0' in metrics
            report = await examine(story.product.parts.settings, story.clock)
            (check,) = [each for each in report.checks if each.name == "notices"]
            assert (check.verdict, "number 1 of" in check.finding) == ("warn", True)
            dead.answer = lambda _: 200
            await minutes(story, 15)
            assert (told(dead), told(people)) == (["misconfigured"], ["misconfigured"])
            assert (await story.product.parts.store.source(story.source)).untold == ()
    said = [each.message for each in caplog.records if each.name == "trailhook.notify_elsewhere"]
    assert said == [
        "notices to number 1 of TRAILHOOK_NOTIFY_URLS fail: it was not taken",
        "notices to number 1 of TRAILHOOK_NOTIFY_URLS arrive again",
    ]
    assert SECRET not in repr(report)


async def test_a_notice_that_was_due_when_the_process_ended_is_passed_on_by_the_next_and_not_for_ever(
    tmp_path: Path, aws: SimulatedAws, people: Receiver
) -> None:
    people.answer = lambda _: 500
    urls = (url_of(people),)
    async with telling(tmp_path, aws, notify_urls=urls) as story:
        await story.add(s3Bucket="absent-in-this-account")
        await minutes(story, 2)
    assert people.taken == []
    people.answer = lambda _: 200
    settings: Any = {"hosts": (story.receiver.host,), "endpoints": (aws.host,), "notify_urls": urls}
    story.clock.advance(MINUTE_S)
    async with running(tmp_path, clock=story.clock, **settings) as product:
        await product.work()
        assert told(people) == ["misconfigured"]
        people.answer = lambda _: 500
        await product.api.call("PATCH", f"/sources/{story.source}", {"s3Bucket": story.bucket})
        await product.work()
        assert len((await product.parts.store.source(story.source)).untold) == 1
        story.clock.advance(25 * HOUR_S)
        await product.work()
        assert (await product.parts.store.source(story.source)).untold == ()


async def test_notices_of_several_sources_at_once_wait_for_one_another_at_each_url(people: Receiver) -> None:
    from trailhook.notify_elsewhere import NotifyUrls

    urls = NotifyUrls([url_of(people)], timeout_s=20.0)
    await asyncio.gather(*(urls.send(1, f"number {number}", "text", good=False) for number in range(4)))
    assert len(people.taken) == 4


async def test_a_url_that_hangs_keeps_a_notice_waiting_no_longer_than_one_may_take(people: Receiver) -> None:
    from trailhook.notify_elsewhere import NotifyUrls

    hanging = asyncio.Event()
    people.before_answer = hanging.wait
    urls = NotifyUrls([url_of(people)], timeout_s=0.5)
    for why in ("no answer in 0.5 s", "the notice before it"):
        with pytest.raises(Transient, match=why):
            await urls.send(1, "title", "text", good=False)
    hanging.set()


def test_urls_that_apprise_does_not_understand_are_refused_by_number_and_never_shown() -> None:
    from trailhook.notify_elsewhere import NotifyUrls

    with pytest.raises(SettingsError) as refusal:
        NotifyUrls(["json://127.0.0.1/", f"nonsense://{SECRET}", f"slack://{SECRET}"], timeout_s=1.0)
    assert "number 2, 3 of 3" in str(refusal.value)
    assert SECRET not in str(refusal.value)


# ----------------------------------------------------------------------------------------------- ends that are known


async def test_the_end_of_a_session_token_is_told_of_once_in_time_and_new_credentials_clear_it(
    story: Story, people: Receiver
) -> None:
    session = {**NEW_KEYS, "sessionToken": "a-session-token-of-ours"}
    end_at = story.clock.now() + HOUR_S
    await story.add(credentials={**session, "expiration": rfc3339(end_at)})
    shown = (await story.product.api.get("/sources"))["sources"][0]["credentials"]
    assert shown["expiration"] == rfc3339(end_at)
    await minutes(story, 29)
    assert told(people) == []
    await minutes(story, 5)
    assert (story.notices(), told(people)) == (["source.credentials_expiring"], ["credentials expiring"])
    assert rfc3339(end_at) in message(people)
    assert await story.state() == "active"
    await story.patch(credentials=session)
    await minutes(story, 90, at_once=30)
    assert told(people) == ["credentials expiring"]
    assert (await story.product.api.get("/sources"))["sources"][0]["credentials"]["expiration"] is None


async def test_an_end_needs_a_session_token(story: Story) -> None:
    document = {"sourceType": "aws_cloudtrail", "callbackUrl": story.receiver.url, "s3Bucket": story.bucket}
    credentials = {**NEW_KEYS, "expiration": "2026-01-31T12:00:00Z"}
    reply = await story.product.api.call("POST", "/add-source", {**document, "credentials": credentials})
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "credentials.expiration")


# ----------------------------------------------------------------------------------------------------------- silence


def written_for_a_day(story: Story) -> None:
    """A busy trail, its last file just now."""
    now = story.clock.now()
    labels = [rfc3339(now - 600.0 * number) for number in range(150)]
    keys = [log_key(f"{at[:4]}{at[5:7]}{at[8:13]}{at[14:16]}Z", f"{n:016d}") for n, at in enumerate(labels)]
    story.aws.put_many(story.bucket, dict.fromkeys(keys, b""))


@pytest.mark.parametrize(
    ("trail", "why", "remedy"),
    [
        ("on", "is on and tells of no error", "covers these accounts"),
        ("off", "is switched off since", "Start its logging again"),
        ("gone", "No trail that these credentials can see", "Create the trail again"),
        ("denied", "these credentials may not", "cloudtrail:GetTrailStatus"),
    ],
)
async def test_a_trail_that_stops_is_told_of_once_with_what_aws_says_and_so_is_its_return(
    story: Story, between: Between, people: Receiver, trail: str, why: str, remedy: str
) -> None:
    client = story.aws.client("cloudtrail")
    client.create_trail(Name=story.bucket, S3BucketName=story.bucket)
    client.start_logging(Name=story.bucket)
    written_for_a_day(story)
    await story.add(startFrom="now", logFetchInterval=1_800)
    if trail == "off":
        client.stop_logging(Name=story.bucket)
    elif trail != "on":
        client.delete_trail(Name=story.bucket)
    if trail == "denied":
        between.refuse = lambda request: refused(400, "AccessDeniedException") if request.method == "POST" else None
    await minutes(story, 90, at_once=30)
    assert told(people) == []
    await minutes(story, 120, at_once=30)
    assert (story.notices(), told(people)) == (["source.silent"], ["silent"])
    assert why in message(people)
    assert remedy in message(people)
    assert 1 <= len([each for each in between.requests if b"includeShadowTrails" in each.body]) <= 2, "one an hour"
    status = await story.product.status(story.source)
    assert (status["status"], status["silence"]["state"]) == ("active", "silent")
    (region,) = status["silence"]["regions"]
    assert (region["account"], region["region"], region["silent"]) == ("111122223333", "us-east-1", True)
    metrics = (await story.product.api.call("GET", "/metrics")).body.decode()
    assert f'trailhook_silent_regions{{source="{story.source}"}} 1.0' in metrics
    at = rfc3339(story.clock.now())
    story.put([record(1)], f"{at[:4]}{at[5:7]}{at[8:13]}{at[14:16]}Z")
    await minutes(story, 60, at_once=30)
    assert (story.notices(), told(people)) == (["source.silent", "source.recovered"], ["silent", "recovered"])
    if trail in ("on", "off"):
        client.delete_trail(Name=story.bucket)
    client.close()


async def test_that_we_have_stopped_is_another_notice_than_that_cloudtrail_has(story: Story, people: Receiver) -> None:
    written_for_a_day(story)
    await story.add(startFrom="now")
    for _ in range(10):
        story.clock.advance(30 * MINUTE_S)  # nobody polls
        await story.product.jobs.watch()
    await story.product.queue.drain({**story.product.jobs.handlers(), "poll": _nobody})
    assert (story.notices(), told(people)) == (["source.stalled"], ["stalled"])
    assert (await story.product.status(story.source))["silence"]["state"] == "stalled"


async def _nobody(_: str) -> None:
    """The job of a worker that is not there."""
