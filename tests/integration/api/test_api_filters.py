"""A filter tried on the stored log: what it would have done, and that it does nothing."""

from pathlib import Path
from typing import Any

import pytest

from support.asgi import Client
from support.bodies import source_body
from support.clock import FakeClock
from support.parts import ADMIN, freeze, parts_on, quarantine_record
from support.samples import record
from trailhook import body
from trailhook.api.server import create_app
from trailhook.app import Parts
from trailhook.model import BatchState
from trailhook.store.base import Settlement
from trailhook.store.lists import BatchQuery

LOGINS = {"exclude": {"eventName": ["Console*"]}}


async def source_of(api: Client, **fields: Any) -> str:
    return str((await api.post("/add-source", source_body(**fields)))["id"])


async def tried(api: Client, source: str, wanted: Any, **more: Any) -> Any:
    return await api.post(f"/sources/{source}/filter/test", {"filter": wanted, **more})


async def test_it_tells_what_would_have_been_dropped_and_redacted_newest_first(api: Client, parts: Parts) -> None:
    source = await source_of(api)
    for number in range(4):
        names = ("ConsoleLogin", "GetObject", "ListBuckets")
        await freeze(
            parts,
            source,
            [record(number * 3 + place, eventName=name) for place, name in enumerate(names)],
            f"log-{number}",
        )
    done = await tried(
        api, source, {**LOGINS, "include": {"eventName": ["Co*", "Get*"]}, "redact": ["userIdentity.arn"]}
    )
    assert done.pop("note").startswith("Tried on the stored log")
    examples = done.pop("examples")
    assert done == {"tried": 12, "dropped": 8, "redacted": 4, "complete": True}
    assert [each["eventId"][-2:] for each in examples] == ["11", "09", "08", "06", "05"]
    assert examples[0] == {
        "eventId": "00000000-0000-4000-8000-000000000011",
        "eventTime": "2025-06-15T12:00:11.000Z",
        "eventName": "ListBuckets",
        "why": 'include does not name eventName "ListBuckets"',
    }
    assert examples[1]["why"] == 'exclude names eventName "ConsoleLogin"'


async def test_it_tells_which_paths_redact(api: Client, parts: Parts) -> None:
    source = await source_of(api)
    await freeze(parts, source, [record(1, requestParameters={"password": "x", "user": "y"}), record(2)])
    done = await tried(api, source, {"redact": ["requestParameters.password", "requestParameters.*", "tags"]})
    assert (done["dropped"], done["redacted"]) == (0, 1)
    assert [each["why"] for each in done["examples"]] == [
        "redact names requestParameters.password, requestParameters.*"
    ]


async def test_it_stops_at_the_last_that_were_asked_for(api: Client, parts: Parts) -> None:
    source, other = await source_of(api), await source_of(api)
    await freeze(parts, source, [record(number) for number in range(10)])
    await freeze(parts, source, [record(10 + number) for number in range(10)], "log-2")
    await freeze(parts, other, [record(30)])
    done = await tried(api, source, {"exclude": {"eventID": ["*19", "*05", "*04"]}}, last=15)
    assert (done["tried"], done["dropped"], done["complete"]) == (15, 2, True)
    assert (await tried(api, source, {}))["tried"] == 20


async def test_it_changes_and_sends_nothing(api: Client, parts: Parts) -> None:
    source = await source_of(api)
    await freeze(parts, source, [record(1, eventName="ConsoleLogin")])
    before = await api.get(f"/sources/{source}"), await api.get(f"/sources/{source}/status")
    await tried(api, source, LOGINS)
    assert (await api.get(f"/sources/{source}"), await api.get(f"/sources/{source}/status")) == before


async def test_halves_are_tried_and_not_their_parent_again(api: Client, parts: Parts) -> None:
    source = await source_of(api)
    await freeze(parts, source, [record(number) for number in range(4)])
    (leased,) = await parts.store.lease_batches(source, limit=1, lease_s=60)
    children = body.halve(leased, source_id=source, ids=(body.new_batch_id(), body.new_batch_id()))
    await parts.store.settle(leased, Settlement(state=BatchState.SPLIT, children=children))
    assert (await tried(api, source, {}))["tried"] == 4


async def test_what_cannot_be_tried_makes_it_incomplete(tmp_path: Path) -> None:
    """The short form has no fields to judge by, and in metadata mode delivered bodies are gone."""
    async with parts_on(tmp_path, store_events="metadata") as parts:
        api = Client(create_app(parts), ADMIN)
        compact = await source_of(api, delivery={"eventFormat": "compact"})
        await freeze(parts, compact, [record(1)])
        done = await tried(api, compact, LOGINS)
        assert (done["tried"], done["complete"]) == (0, False)
        dropped = await source_of(api)
        await freeze(parts, dropped, [record(1)])
        assert (await tried(api, dropped, LOGINS))["complete"]
        (leased,) = await parts.store.lease_batches(dropped, limit=1, lease_s=60)
        await parts.store.settle(leased, Settlement(state=BatchState.DELIVERED))
        assert not (await tried(api, dropped, LOGINS))["complete"]


class Hurried(FakeClock):
    """A second goes by at every look at it."""

    def now(self) -> float:
        self.advance(1.0)
        return super().now()


async def test_it_stops_when_its_time_is_over(tmp_path: Path) -> None:
    async with parts_on(tmp_path, clock=Hurried(), dry_run_s=3.0) as parts:
        api = Client(create_app(parts), ADMIN)
        source = await source_of(api)
        for number in range(40):
            await freeze(parts, source, [record(number)], f"log-{number}")
        done = await tried(api, source, LOGINS)
        assert 0 < done["tried"] < 40
        assert not done["complete"]


async def test_more_than_the_setting_allows_and_unknown_sources_are_refused(api: Client) -> None:
    source = await source_of(api)
    reply = await api.call("POST", f"/sources/{source}/filter/test", {"filter": {}, "last": 100_001})
    assert (reply.status, reply.fields) == (422, ["last"])
    assert (await api.call("POST", "/sources/unknown/filter/test", {"filter": {}})).status == 404


# ------------------------------------------------------------------------------------------------------ redaction


@pytest.mark.parametrize("path", ["eventID", "eventTime", "*"])
async def test_what_makes_an_event_what_it_is_cannot_be_redacted(path: str, api: Client) -> None:
    reply = await api.call("POST", "/add-source", source_body(filter={"redact": ["sourceIPAddress", path]}))
    assert reply.status == 422
    assert reply.fields == ["filter.redact.1"]
    assert "eventID or eventTime" in reply.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "path",
    ["", ".", "a.", ".a", "a..b", "pass*", "a.*b", "a/b", 'a"b', "a\nb", "a\x7fb", "\\u0061", ".".join("abcdefghijk")],
)
async def test_what_is_no_path_is_refused(path: str, api: Client) -> None:
    reply = await api.call("POST", "/add-source", source_body(filter={"redact": [path]}))
    assert (reply.status, reply.fields) == (422, ["filter.redact.0"])


async def test_paths_are_kept_each_once_and_may_be_changed(api: Client) -> None:
    source = await source_of(api, filter={"redact": ["sourceIPAddress", "a.*.über", "sourceIPAddress"]})
    assert (await api.get(f"/sources/{source}"))["filter"] == {
        "include": {},
        "exclude": {},
        "redact": ["sourceIPAddress", "a.*.über"],
    }
    reply = await api.call("PATCH", f"/sources/{source}", {"filter": {"redact": ["eventTime"]}})
    assert reply.status == 422
    reply = await api.call("PATCH", f"/sources/{source}", {"filter": None})
    assert reply.json["filter"] is None


async def test_an_event_let_out_of_quarantine_is_redacted_too(api: Client, parts: Parts) -> None:
    source = await source_of(api, filter={"redact": ["secret"]})
    await quarantine_record(parts, source, b'{"eventID":"a","secret":"hunter2"}')
    (entry,) = (await api.get("/quarantine"))["quarantine"]
    await api.post(f"/quarantine/{entry['id']}/retry")
    (batch,) = await parts.store.batches(BatchQuery(source_id=source))
    assert b'{"eventID":"a","secret":"[redacted]"}' in body.inflated(await parts.store.batch(batch.id))
