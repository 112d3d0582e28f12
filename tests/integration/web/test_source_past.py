"""The past of a source on its page: proof per hour, backfills, and sending again."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.digests import FIRST_AT, HOUR_S, REGION, Trail, simulated_aws_with_digests
from support.product import TOKEN, Product, running
from support.receiver import Receiver, receiving
from support.web import Browser
from trailhook.demo.digests import PublicKeys, SigningKey
from trailhook.web.server import create_site

Account = tuple[SimulatedAws, SigningKey]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with simulated_aws_with_digests() as (aws, keys):
        yield aws, _signer(keys)


def _signer(keys: PublicKeys) -> SigningKey:
    signer = SigningKey()
    keys.add(REGION, signer, from_at=FIRST_AT - HOUR_S, to_at=FIRST_AT + 48 * HOUR_S)
    return signer


@dataclass
class Scene:
    """A source that has forwarded a trail of some hours, and somebody who looks at its page."""

    product: Product
    receiver: Receiver
    trail: Trail
    browser: Browser
    source: str

    async def part(self, path: str) -> str:
        reply = await self.browser.part(f"/ui/sources/{self.source}/{path}")
        assert reply.status == 200, reply.body
        return html.unescape(reply.body.decode())

    async def send(self, path: str, **form: str) -> str:
        reply = await self.browser.send(f"/ui/sources/{self.source}/{path}", form)
        assert reply.status == 200, reply.body
        return html.unescape(reply.body.decode())


@pytest.fixture
async def scene(account: Account, tmp_path: Path) -> AsyncIterator[Scene]:
    aws, signer = account
    trail = Trail(aws, aws.new_bucket(), signer)
    async with (
        receiving() as receiver,
        running(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), clock=FakeClock()) as product,
    ):
        browser = Browser(create_site(product.parts))
        await browser.sign_in(TOKEN)
        for hour in range(20, 23):
            trail.hour(hour)
        source = await product.add_source(
            endpointUrl=aws.endpoint_url, callbackUrl=receiver.url, s3Bucket=trail.bucket, verifyIntegrity=True
        )
        await product.poll(source)
        yield Scene(product, receiver, trail, browser, source)


def form_of(part: str) -> dict[str, str]:
    """What the form in a part would send."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', part))


# --------------------------------------------------------------------------------------------------- completeness


async def test_hours_are_shown_with_what_they_prove(scene: Scene) -> None:
    scene.trail.hour(23, put=lambda unique: unique == 0)
    part = await scene.part("completeness?span=24h")
    tones = re.findall(r'class="hour (\w+) at-\d+"', part)
    assert tones[-5:] == ["ok", "ok", "ok", "bad", "idle"]
    assert tones.count("idle") == len(tones) - 4
    assert part.count("✓") == 4  # three hours, and their sum
    assert "3 proved" in part
    assert "1 missing" in part
    assert f"{len(tones)} hours" in part
    assert f"<code>{scene.trail.key(23, 1)}</code> <span>was never taken in, and is not in the bucket" in part
    assert f"<code>{scene.trail.key(23, 0)}</code> <span>was never taken in; it is fetched and forwarded now" in part
    assert 'class="group">' in part
    assert REGION in part


async def test_what_takes_longer_comes_in_parts_that_go_on_where_the_last_one_ended(scene: Scene) -> None:
    whole = await scene.part("completeness?span=24h")
    parts = scene.product.parts
    hurried = replace(parts, settings=replace(parts.settings, completeness_turn_s=0.0))
    scene.browser.app = create_site(hurried)
    part = await scene.part("completeness?span=24h")
    assert "<hx-partial" not in part
    hours = re.findall(r'<li class="(?:hour|day|group).*?</li>', part)
    while onward := re.search(r'hx-get="/ui/sources/[^/]+/(completeness\?[^"]+)"', part):
        part = await scene.part(onward[1])
        assert "<hx-partial" in part
        hours += re.findall(r'<li class="(?:hour|day|group).*?</li>', part)
    assert hours == re.findall(r'<li class="(?:hour|day|group).*?</li>', whole)
    assert re.findall(r"\d+ proved", part) == re.findall(r"\d+ proved", whole) == ["3 proved"]


async def test_what_cannot_be_asked_is_refused(scene: Scene) -> None:
    for query in ("span=1y", "", "span=24h&told=x", "span=24h&cursor=x"):
        assert (await scene.browser.part(f"/ui/sources/{scene.source}/completeness?{query}")).status == 422
    assert (await scene.browser.part("/ui/sources/unknown/completeness?span=24h")).status == 404


async def test_a_source_without_a_bucket_has_nothing_to_prove(scene: Scene) -> None:
    other = await scene.product.add_source(callbackUrl=scene.receiver.url, name="history")
    page = (await scene.browser.get(f"/ui/sources/{other}")).body.decode()
    assert "There are no digests to compare with" in page
    assert "Check against AWS" not in page


# ------------------------------------------------------------------------------------------------------ backfills


async def test_a_backfill_is_estimated_started_stopped_and_resumed(scene: Scene) -> None:
    assert "There has been no backfill" in await scene.part("backfills")
    plan = await scene.send("backfills/estimate", **{"from": "2025-06-10T00:00", "to": ""})
    assert "under $0.01" in plan
    assert "There has been no backfill" in await scene.part("backfills")
    begun = await scene.send("backfills", **form_of(plan))
    assert "2025-06-10 00:00:00 UTC" in begun
    assert "It has begun" in begun
    (stop,) = re.findall(r'hx-post="/ui/sources/[^/]+/(backfills/[^/]+/stop)"', begun)
    stopped = await scene.send(stop)
    assert "Stopped" in stopped
    assert "Running" in await scene.send(stop.replace("stop", "resume"))
    assert "No second" not in stopped
    assert "<progress" in stopped


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"from": "", "to": ""}, "From must be given."),
        ({"from": "soon"}, "From must be a time like"),
        ({"from": "2035-01-01T00:00"}, "From must lie in the past."),
        ({"from": "2025-06-10T00:00", "to": "2025-06-09T00:00"}, "To must be later than from."),
    ],
)
async def test_what_is_wrong_with_a_span_is_said_beside_the_form(scene: Scene, form: dict[str, str], said: str) -> None:
    assert said in await scene.send("backfills/estimate", **form)


# --------------------------------------------------------------------------------------------------- sending again


async def test_what_was_taken_is_counted_and_then_sent_again(scene: Scene) -> None:
    taken = len(scene.receiver.of_type("cloudtrail.events"))
    counted = await scene.send("replay/count", **{"from": "2025-06-14T00:00", "to": ""})
    assert re.search(rf"<strong>{taken} deliver\w+, 6 events</strong> would be sent again", counted)
    assert len(scene.receiver.of_type("cloudtrail.events")) == taken
    sent = await scene.send("replay/send", **form_of(counted))
    assert "set to be sent again." in sent
    await scene.product.work()
    assert len(scene.receiver.of_type("cloudtrail.events")) == 2 * taken
    assert "0 deliveries" in await scene.send("replay/count", **{"from": "2025-06-14T00:00", "to": "2025-06-14T01:00"})


async def test_who_may_only_read_sees_the_past_and_changes_nothing(scene: Scene) -> None:
    text, _ = await scene.product.parts.tokens.create("eyes", ["read"])
    eyes = Browser(scene.browser.app)
    await eyes.sign_in(text)
    page = (await eyes.get(f"/ui/sources/{scene.source}")).body
    assert b"Estimate" not in page
    assert b"Count first" not in page
    assert (await eyes.part(f"/ui/sources/{scene.source}/backfills")).status == 200
    for action in ("backfills", "backfills/estimate", "backfills/x/stop", "backfills/x/resume", "replay/send"):
        assert (await eyes.send(f"/ui/sources/{scene.source}/{action}")).status == 403
