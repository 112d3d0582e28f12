"""Settings as a page: who sees what, tokens, sessions, the doctor."""

import re

from fastapi import FastAPI

from support.asgi import Client
from support.clock import FakeClock
from support.parts import ADMIN
from support.web import Browser
from trailhook.app import Parts


async def test_those_who_are_no_administrators_see_only_themselves(site: FastAPI, parts: Parts) -> None:
    text, _ = await parts.tokens.create("ci", ["write"])
    browser = Browser(site)
    await browser.sign_in(text)
    page = (await browser.get("/ui/settings")).body
    assert b"1 with this token" in page
    for hidden in (b"API tokens", b"Master keys", b"Doctor", b"TRAILHOOK_DATA_DIR", b"bootstrap"):
        assert hidden not in page
    for target in ("tokens", "tokens/x/revoke", "doctor", "sign-out-everybody"):
        assert (await browser.send(f"/ui/settings/{target}")).status == 403


async def test_a_token_is_shown_once_and_listed_without_itself(browser: Browser, site: FastAPI, parts: Parts) -> None:
    reply = await browser.send("/ui/settings/tokens", {"name": "<i>ci</i>", "scope": "read"})
    (text,) = re.findall(r"<code>(th_[a-z2-7]+)</code>", reply.body.decode())
    assert b"<i>ci" not in reply.body
    assert text.encode() not in (await browser.get("/ui/settings")).body
    assert (await Client(site, text).call("GET", "/sources")).status == 200


async def test_a_token_of_no_name_or_scope_is_not_made(browser: Browser, parts: Parts) -> None:
    reply = await browser.send("/ui/settings/tokens", {"name": "", "scope": "root"})
    assert b"No token was made" in reply.body
    assert len(await parts.tokens.list()) == 1


async def test_last_use_is_told_and_a_revoked_token_is_gone(
    browser: Browser, site: FastAPI, parts: Parts, clock: FakeClock
) -> None:
    text, info = await parts.tokens.create("ci", ["read"])
    assert b">never<" in (await browser.get("/ui/settings")).body
    clock.advance(60)
    await Client(site, text).call("GET", "/sources")
    listed = (await Client(site, ADMIN).get("/tokens"))["tokens"]
    assert [each["lastUsedAt"] for each in listed if each["id"] == info.id] == ["2025-06-15T15:07:40.000Z"]
    assert b">never<" not in (await browser.get("/ui/settings")).body
    reply = await browser.send(f"/ui/settings/tokens/{info.id}/revoke")
    assert info.id.encode() not in reply.body
    assert (await Client(site, text).call("GET", "/sources")).status == 401


async def test_signing_out_everywhere_ends_every_session_of_the_token_and_no_other(
    browser: Browser, site: FastAPI, parts: Parts
) -> None:
    again, other = Browser(site), Browser(site)
    await again.sign_in(ADMIN)
    text, _ = await parts.tokens.create("ci", ["read"])
    await other.sign_in(text)
    assert b"2 with this token, 3 in all" in (await browser.get("/ui/settings")).body
    reply = await browser.send("/ui/settings/sign-out-everywhere")
    assert reply.headers["hx-redirect"] == "/ui/sign-in"
    assert [(await each.get("/")).status for each in (browser, again, other)] == [303, 303, 200]
    await browser.sign_in(ADMIN)
    await browser.send("/ui/settings/sign-out-everybody")
    assert (await other.get("/")).status == 303


async def test_settings_and_findings_are_shown_without_secrets(browser: Browser, parts: Parts) -> None:
    page = (await browser.get("/ui/settings")).body.decode()
    row = re.search(r"TRAILHOOK_API_TOKEN</code></th><td[^>]*><code>([^<]*)</code>", page)
    assert row
    assert row[1] == "set"
    assert "TRAILHOOK_RETENTION_DAYS" in page
    assert parts.vault.kids[0] in page
    found = (await browser.send("/ui/settings/doctor")).body.decode()
    for part in ("Store", "Master keys", "Disk", "Queue", "Guard"):
        assert part in found
    assert ADMIN not in page + found
