"""Who gets to see the pages, and whose requests may change anything."""

import pytest
from fastapi import FastAPI

from support.asgi import Client
from support.clock import FakeClock
from support.parts import ADMIN
from support.web import FORM, Browser
from trailhook.app import Parts
from trailhook.settings import DAY_S, HOUR_S
from trailhook.web.signing_in import FAILURES_MAX, local_page


async def test_strangers_are_sent_to_sign_in_and_then_to_their_page(site: FastAPI) -> None:
    browser = Browser(site)
    reply = await browser.get("/ui/sources/new?a=b")
    assert (reply.status, reply.headers["location"]) == (303, "/ui/sign-in?next=/ui/sources/new%3Fa%3Db")
    assert b'value="/ui/sources/new?a=b"' in (await browser.get(reply.headers["location"])).body
    assert b"<h1>Add a source</h1>" in (await browser.sign_in(ADMIN, "/ui/sources/new?a=b")).body


async def test_a_part_asked_for_without_a_session_sends_the_whole_page_to_sign_in(site: FastAPI) -> None:
    reply = await Browser(site).part("/ui/overview")
    assert (reply.status, reply.headers["hx-redirect"]) == (401, "/ui/sign-in")


async def test_programs_are_refused_as_ever(site: FastAPI) -> None:
    assert (await Client(site).call("GET", "/")).status == 401
    assert (await Client(site).call("GET", "/sources")).json["status"] == 401


async def test_the_cookie_is_for_this_host_and_for_no_script(site: FastAPI) -> None:
    browser = Browser(site)
    await browser.sign_in(ADMIN)
    cookie = browser.seen[0].headers["set-cookie"]
    assert cookie.startswith("trailhook=")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert ADMIN not in cookie


async def test_a_wrong_token_is_said_to_be_one_and_not_repeated(site: FastAPI) -> None:
    reply = await Browser(site).sign_in("th_canary")
    assert reply.status == 401
    assert "set-cookie" not in reply.headers
    assert b"not a token" in reply.body
    assert b"canary" not in reply.body


async def test_after_many_failures_nobody_there_is_listened_to_for_a_while(site: FastAPI, clock: FakeClock) -> None:
    browser = Browser(site)
    assert [(await browser.sign_in("th_wrong")).status for _ in range(FAILURES_MAX)] == [401] * FAILURES_MAX
    assert (await browser.sign_in(ADMIN)).status == 429
    clock.advance(301)
    assert (await browser.sign_in(ADMIN)).status == 200


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "evil", ""],
)
def test_nobody_is_sent_elsewhere(elsewhere: str) -> None:
    assert local_page(elsewhere) == "/"


async def test_whoever_comes_by_a_link_from_elsewhere_is_sent_on_once_with_the_cookie(site: FastAPI) -> None:
    reply = await Browser(site).get("/ui/sign-in?next=/ui/events%3Fq%3Dx", sec_fetch_site="cross-site")
    assert b'content="0; url=/ui/events?q=x"' in reply.body


# --------------------------------------------------------------------------------------------------- how it ends


async def test_signing_out_ends_the_session_itself(browser: Browser) -> None:
    before = dict(browser.cookies)
    reply = await browser.send("/ui/sign-out")
    assert reply.headers["hx-redirect"] == "/ui/sign-in"
    browser.cookies = before
    assert (await browser.get("/")).status == 303


async def test_revoking_the_token_ends_its_sessions(site: FastAPI, parts: Parts) -> None:
    text, info = await parts.tokens.create("soon gone", ["read"])
    browser = Browser(site)
    await browser.sign_in(text)
    await parts.tokens.revoke(info.id)
    assert (await browser.get("/")).status == 303


async def test_a_session_ends_unused_or_old(site: FastAPI, clock: FakeClock) -> None:
    idle, used = Browser(site), Browser(site)
    await idle.sign_in(ADMIN)
    await used.sign_in(ADMIN)
    for hours in range(0, 7 * 24, 11):
        assert (await used.get("/")).status == 200, hours
        clock.advance(11 * HOUR_S)
    assert (await idle.get("/")).status == 303
    clock.advance(DAY_S)
    assert (await used.get("/")).status == 303


async def test_a_link_signs_in_once_and_soon(api: Client, site: FastAPI, clock: FakeClock) -> None:
    first, second = [(await api.post("/sign-in-links"))["path"].partition("#")[2] for _ in range(2)]
    assert (await Browser(site).sign_in(first)).status == 200
    assert (await Browser(site).sign_in(first)).status == 401
    clock.advance(601)
    assert (await Browser(site).sign_in(second)).status == 401


async def test_a_link_has_the_scopes_of_the_token_that_made_it(site: FastAPI, parts: Parts) -> None:
    text, _ = await parts.tokens.create("eyes", ["read"])
    link = (await Client(site, text).post("/sign-in-links"))["path"].partition("#")[2]
    browser = Browser(site)
    page = await browser.sign_in(link)
    assert b"Add the first source" not in page.body
    assert (await browser.get("/ui/sources/new")).status == 403


# ----------------------------------------------------------------------------------------------------- forgeries


async def test_the_session_opens_the_api_too(browser: Browser) -> None:
    assert (await browser.get("/sources")).json["sources"] == []


@pytest.mark.parametrize("target", ["/ui/sign-out", "/add-source", "/tokens"])
async def test_a_change_needs_what_only_our_page_knows(browser: Browser, target: str) -> None:
    for forged in (
        {"x-csrf-token": ""},
        {"x-csrf-token": "0" * 64},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
    ):
        assert (await browser.send(target, headers=forged)).status == 403
    assert (await browser.get("/")).status == 200


async def test_another_sessions_csrf_token_is_none(browser: Browser, site: FastAPI) -> None:
    other = Browser(site)
    await other.sign_in(ADMIN)
    assert other.csrf != browser.csrf
    assert (await browser.send("/ui/sign-out", headers={"x-csrf-token": other.csrf})).status == 403


async def test_a_token_needs_no_csrf_token(api: Client) -> None:
    assert (await api.call("POST", "/ui/sources/policy", b"", headers={"content-type": FORM})).status == 200


async def test_nobody_is_signed_in_by_another_sites_form(site: FastAPI) -> None:
    content = f"token={ADMIN}".encode()
    sent = {"content-type": FORM, "sec-fetch-site": "cross-site"}
    reply = await Client(site).call("POST", "/ui/sign-in", content, headers=sent)
    assert reply.status == 403
    assert "set-cookie" not in reply.headers
