"""What every page keeps to: its policy, its scopes, no secrets, no markup from outside."""

import html
import re

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from support.asgi import Client
from support.bodies import SECRET_KEY, source_body
from support.parts import ADMIN, freeze, quarantine_unit
from support.samples import record
from support.web import Browser
from trailhook.api.context import cursor_of
from trailhook.app import Parts
from trailhook.web.pages import POLICY

HOSTILE = "<script>alert('x')</script>\"'&"
HEADER = "Bearer CanaryHeaderValue0123456789"


def pages_of(site: FastAPI) -> list[str]:
    """Every page and part that can be asked for by its address."""
    found = {str(each.path) for each in iter_route_contexts(site.routes) if "GET" in (each.methods or ()) and each.path}
    return sorted(path for path in found if path == "/" or path.startswith("/ui/"))


async def a_source(api: Client, **fields: object) -> str:
    return str((await api.post("/add-source", source_body(**fields)))["id"])


async def test_every_page_has_the_policy_and_nothing_inline_or_from_elsewhere(
    browser: Browser, site: FastAPI, api: Client
) -> None:
    source = await a_source(api)
    targets = [path.replace("{id}", source) for path in pages_of(site)]
    assert len(targets) > 7
    for target in targets:
        reply = await browser.get(target)
        if not reply.headers["content-type"].startswith("text/html"):
            continue
        page = reply.body.decode()
        assert reply.headers["content-security-policy"] == POLICY, target
        assert reply.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:|hx-on|js:", page), target
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page), target


async def test_scripts_and_styles_are_served_to_everybody_and_kept_for_ever(site: FastAPI) -> None:
    stranger = Browser(site)
    page = (await stranger.get("/ui/sign-in")).body.decode()
    found = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page)
    assert len(found) >= 4
    for path in found:
        reply = await stranger.get(path)
        assert reply.status == 200
        assert "immutable" in reply.headers["cache-control"]
        assert reply.headers["content-type"].partition(";")[0] in (
            "text/javascript",
            "application/javascript",
            "text/css",
            "image/svg+xml",
        )


@pytest.mark.parametrize("path", ["../pages.py", "0000000000000000/app.css", "app.css", "%2e%2e/words.py"])
async def test_nothing_else_is_served_there(site: FastAPI, path: str) -> None:
    assert (await Browser(site).get(f"/ui/static/{path}")).status == 404


async def test_no_secret_is_in_any_page(browser: Browser, site: FastAPI, api: Client, parts: Parts) -> None:
    added = await api.post("/add-source", source_body(delivery={"headers": {"Authorization": HEADER}}))
    await freeze(parts, added["id"], [record(1)])
    await quarantine_unit(parts, added["id"])
    for path in pages_of(site):
        await browser.get(path.replace("{id}", added["id"]))
    form = {"credentials.accessKeyId": "AKIAIOSFODNN7EXAMPLE", "credentials.secretAccessKey": SECRET_KEY + " "}
    form |= {"credentials.region": "nowhere", "callbackUrl": "x", "delivery.headers": f"Host: {HEADER}"}
    for target in ("/ui/sources/new", "/ui/sources/check/aws", "/ui/sources/check/webhook", "/ui/sources/policy"):
        await browser.send(target, form)
    await browser.send(f"/ui/sources/{added['id']}/edit", form)
    for reply in browser.seen:
        for canary in (SECRET_KEY, HEADER, "AKIAIOSFODNN7EXAMPLE", added["signingSecret"], ADMIN):
            assert canary not in html.unescape(reply.body.decode())


async def test_names_from_outside_are_only_text(browser: Browser, site: FastAPI, api: Client) -> None:
    source = await a_source(api, name=HOSTILE, s3Prefix="<b>")
    shown = 0
    for path in pages_of(site):
        page = (await browser.get(path.replace("{id}", source))).body.decode()
        assert "<script>alert" not in page
        assert "<b>" not in page.replace("<b>0</b>", "")
        shown += "&lt;script&gt;alert(" in page
    assert shown >= 3


async def test_scopes_hide_and_refuse_what_may_not_be_done(site: FastAPI, parts: Parts, api: Client) -> None:
    source = await a_source(api)
    text, _ = await parts.tokens.create("eyes", ["read"])
    browser = Browser(site)
    assert b"Add a source" not in (await browser.sign_in(text)).body
    page = (await browser.get(f"/ui/sources/{source}")).body
    for word in (b"Pause", b"Rotate", b"Remove", b"Edit", b"/test"):
        assert word not in page
    for action in ("pause", "resume", "fetch", "test", "rotate-secret", "remove", "edit"):
        assert (await browser.send(f"/ui/sources/{source}/{action}")).status == 403
    assert (await browser.get("/ui/sources/new")).status == 403


async def test_what_is_not_there_is_a_page_that_says_so(browser: Browser) -> None:
    for target in ("/ui/nowhere", "/ui/sources/unknown", "/ui/sources/unknown/edit"):
        reply = await browser.get(target)
        assert reply.status == 404
        assert b"Back to the overview" in reply.body
    part = await browser.part("/ui/sources/unknown/state")
    assert part.status == 404
    assert b"<html" not in part.body


@pytest.mark.parametrize("target", ["/?page=" + "9" * 5_000, "/deliveries?cursor=" + cursor_of(2**64 - 1)])
async def test_numbers_beyond_all_measure_break_nothing(browser: Browser, target: str) -> None:
    assert (await browser.get(target)).status in (200, 422)


async def test_nor_do_they_in_forms(browser: Browser) -> None:
    assert (await browser.send("/ui/quarantine-retries", {"done": "9" * 5_000})).status == 200


async def test_the_theme_is_the_one_that_was_chosen(browser: Browser) -> None:
    assert b'data-theme="auto"' in (await browser.get("/")).body
    browser.cookies["theme"] = "dark"
    assert b'data-theme="dark"' in (await browser.get("/")).body
    browser.cookies["theme"] = "x"
    assert b'data-theme="auto"' in (await browser.get("/")).body
