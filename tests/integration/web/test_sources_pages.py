"""The overview, the page of a source and the form."""

import re
from typing import Any

import pytest

from support.asgi import Client
from support.bodies import SECRET_KEY, source_body
from support.clock import FakeClock
from support.parts import freeze
from support.samples import record
from support.web import Browser
from trailhook.app import Parts
from trailhook.errors import FetchState
from trailhook.model import Condition

FORM = {
    "callbackUrl": "https://example.com/webhook",
    "credentials.region": "us-east-1",
    "credentials.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "credentials.secretAccessKey": SECRET_KEY,
    "s3Bucket": "cloudtrail-logs",
    "logFetchInterval": "60",
    "key": "once",
}


async def a_source(api: Client, **fields: object) -> str:
    return str((await api.post("/add-source", source_body(**fields)))["id"])


def names(page: bytes) -> list[str]:
    return re.findall(r'<a href="/ui/sources/[0-9a-f-]{36}">([^<]+)</a>', page.decode())


async def denied(parts: Parts, source: str) -> None:
    state = Condition(state=FetchState.ACCESS_DENIED, reason="No s3:GetObject.", remedy="Allow it.", since_at=1.0)
    await parts.store.change_source(source, lambda before: (before.but(fetch=state), ()))


# ------------------------------------------------------------------------------------------------------ overview


async def test_the_overview_comes_in_pages_the_worst_first(browser: Browser, api: Client, parts: Parts) -> None:
    ids = [await a_source(api, name=f"source-{number:03d}") for number in range(53)]
    await denied(parts, ids[52])
    first, second = await browser.get("/"), await browser.get("/?page=2")
    assert names(first.body) == ["source-052", *(f"source-{number:03d}" for number in range(49))]
    assert names(second.body) == ["source-049", "source-050", "source-051"]
    assert names((await browser.get("/?page=99")).body) == names(second.body)
    assert b"No s3:GetObject." in first.body
    assert b"Allow it." in first.body


async def test_the_overview_is_filtered_by_status_and_by_name(browser: Browser, api: Client) -> None:
    paused = await a_source(api, name="Alpha")
    await a_source(api, name="beta", s3Bucket="alphabet-logs")
    await a_source(api, name="gamma")
    await api.post(f"/sources/{paused}/pause")
    assert names((await browser.get("/?q=ALPHA")).body) == ["Alpha", "beta"]
    part = await browser.part("/ui/overview?q=alpha&status=paused&page=x")
    assert names(part.body) == ["Alpha"]
    assert part.headers["hx-replace-url"] == "/?status=paused&q=alpha"
    assert b"No source matches" in (await browser.get("/?q=zeta")).body


async def test_the_sums_of_the_overview_are_those_of_its_sources(browser: Browser, api: Client, parts: Parts) -> None:
    for name, count in (("a", 3), ("b", 4)):
        await freeze(parts, await a_source(api, name=name), [record(number) for number in range(count)])
    page = (await browser.get("/")).body.decode()
    figures = dict(re.findall(r"<dt>([^<]+)</dt><dd>([\d,]+)", page))
    assert (figures["Sources"], figures["Events read"], figures["+ Waiting"]) == ("2", "7", "7")


async def test_the_first_page_of_all_invites_to_add_a_source(browser: Browser) -> None:
    assert b"Add the first source" in (await browser.get("/")).body


# ------------------------------------------------------------------------------------------------- one source


async def test_a_source_says_what_is_wrong_and_what_to_do(browser: Browser, api: Client, parts: Parts) -> None:
    source = await a_source(api)
    await denied(parts, source)
    page = (await browser.get(f"/ui/sources/{source}")).body
    for words in (b"Fetching: Access denied", b"No s3:GetObject.", b"What to do:", b"Allow it.", b"It adds up"):
        assert words in page


async def test_it_is_paused_and_resumed_in_place(browser: Browser, api: Client) -> None:
    source = await a_source(api)
    assert b">Resume</button>" in (await browser.send(f"/ui/sources/{source}/pause")).body
    refused = await browser.send(f"/ui/sources/{source}/fetch")
    assert refused.status == 409
    assert b"resume it first" in refused.body
    assert b">Pause</button>" in (await browser.send(f"/ui/sources/{source}/resume")).body
    assert (await api.get(f"/sources/{source}"))["status"] == "active"


async def test_a_new_secret_is_shown_once(browser: Browser, api: Client) -> None:
    source = await a_source(api)
    assert b"whsec_" in (await browser.send(f"/ui/sources/{source}/rotate-secret")).body
    assert b"whsec_" not in (await browser.get(f"/ui/sources/{source}")).body


async def test_removing_takes_its_name(browser: Browser, api: Client) -> None:
    source = await a_source(api, name="prod")
    assert b"nothing was removed" in (await browser.send(f"/ui/sources/{source}/remove", {"name": "pro"})).body
    assert (await api.call("GET", f"/sources/{source}")).status == 200
    assert b"prod is removed" in (await browser.send(f"/ui/sources/{source}/remove", {"name": "prod"})).body
    assert (await api.call("GET", f"/sources/{source}")).status == 404


async def test_the_timeline_adds_up(browser: Browser, api: Client, parts: Parts, clock: FakeClock) -> None:
    source = await a_source(api)
    await freeze(parts, source, [record(1), record(2)], "a")
    await parts.store.sample()
    clock.advance(120)
    await freeze(parts, source, [record(3)], "b")
    for span in ("1h", "24h", "7d", "30d"):
        drawn = (await browser.get(f"/ui/sources/{source}/timeline?span={span}")).json
        series = {each["label"]: each["values"] for each in drawn["series"]}
        assert (sum(series["Read"]), series["Waiting"][-1]) == (3, 3), span
        assert {len(each) for each in series.values()} == {len(drawn["times"])}
    assert (await browser.get(f"/ui/sources/{source}/timeline?span=1y")).status == 422


# ----------------------------------------------------------------------------------------------------- the form


async def test_a_source_is_added_once_and_its_secret_shown(browser: Browser, api: Client) -> None:
    for _ in range(2):
        assert b"whsec_" in (await browser.send("/ui/sources/new", FORM)).body
    (source,) = (await api.get("/sources"))["sources"]
    assert (source["name"], source["logFetchInterval"]) == ("cloudtrail-logs", 60)


async def test_what_is_wrong_is_said_beside_each_field(browser: Browser, api: Client) -> None:
    form = {**FORM, "logFetchInterval": "0", "s3Bucket": "My Bucket", "credentials.secretAccessKey": ""}
    page = (await browser.send("/ui/sources/new", form)).body.decode()
    said = dict(re.findall(r'id="error-([\w-]+)"[^>]*>([^<]*)</p>', page))
    assert {name for name, words in said.items() if words} == {
        "logFetchInterval",
        "s3Bucket",
        "credentials-secretAccessKey",
    }
    assert (await api.get("/sources"))["sources"] == []


async def test_only_what_was_typed_is_found_fault_with_while_typing(browser: Browser) -> None:
    async def wrong(group: str, **form: str) -> set[str]:
        page = (await browser.send(f"/ui/sources/check/{group}", form)).body.decode()
        return {name for name, words in re.findall(r'id="error-([\w-]+)"[^>]*>([^<]*)</p>', page) if words}

    assert await wrong("aws", s3Bucket="") == set()
    assert await wrong("aws", s3Bucket="x") == {"s3Bucket"}
    assert await wrong("webhook", callbackUrl="ftp://x") == {"callbackUrl"}
    assert await wrong("webhook", callbackUrl="https://example.com", s3Bucket="x") == set()
    assert (await browser.send("/ui/sources/check/other")).status == 404


async def test_the_policy_follows_what_is_typed(browser: Browser) -> None:
    async def policy(**form: str) -> str:
        return (await browser.send("/ui/sources/policy", form)).body.decode()

    assert "cloudtrail:LookupEvents" in await policy()
    typed = await policy(s3Bucket="my-logs", s3Prefix="AWSLogs/")
    assert "arn:aws:s3:::my-logs/AWSLogs/*" in typed
    half = await policy(s3Bucket="my-logs", sqsQueueUrl="https://sqs")
    assert "my-logs" in half
    assert "sqs:" not in half
    both = await policy(**{"s3Bucket": "my-logs", "credentials.roleArn": "arn:aws:iam::123456789012:role/Reader"})
    assert "sts:AssumeRole" in both


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "new"}, {"name": "new"}),
        ({"s3Prefix": ""}, {"s3Prefix": ""}),
        ({"delivery.format": "ndjson"}, {"delivery.format": "ndjson"}),
        ({}, {}),
    ],
)
async def test_a_source_is_changed_where_the_form_differs(
    browser: Browser, api: Client, changes: dict[str, str], expected: dict[str, Any]
) -> None:
    source = await a_source(api)
    before = await api.get(f"/sources/{source}")
    form = (await browser.get(f"/ui/sources/{source}/edit")).body.decode()
    filled = dict(re.findall(r'name="([\w.]+)" type="\w+" value="([^"]*)"', form))
    filled |= dict(re.findall(r'<select[^>]*name="([\w.]+)">.*?value="([^"]*)" selected', form))
    assert filled["s3Bucket"] == "cloudtrail-logs"
    reply = await browser.send(f"/ui/sources/{source}/edit", {**filled, **changes})
    assert reply.headers["hx-redirect"] == f"/ui/sources/{source}"
    after = await api.get(f"/sources/{source}")
    for name, value in expected.items():
        *groups, last = name.split(".")
        place, old = (after[groups[0]], before[groups[0]]) if groups else (after, before)
        assert place[last] == value
        old[last] = value
    assert after == before
