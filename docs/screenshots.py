"""`make screenshots`: every page of the dashboard, light and dark, wide and narrow, over invented data."""

# ruff: noqa: E402 - what is imported lies beside this file and in the tests

import argparse
import asyncio
import base64
import itertools
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import uvicorn
from playwright.async_api import Page

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "tests")]

from invented import END_AT, InventedClock, World

from support.browsing import Person, browsing, chromium_path, somebody
from trailhook import app
from trailhook.model import BatchState
from trailhook.settings import Settings
from trailhook.store.lists import BatchQuery
from trailhook.web.server import create_site

IMAGES = DOCS / "images"
SIZES = {"wide": (1440, 900), "narrow": (360, 720)}
PALETTE = (DOCS / "palette.js").read_text()
SCHEMES = ("light", "dark")
SETTLED_MS = 700
"""Until plots are drawn and parts have loaded."""


@asynccontextmanager
async def shown(port: int) -> AsyncIterator[World]:
    """A dashboard over the invented organization: nothing is fetched and nothing is sent."""
    with tempfile.TemporaryDirectory(prefix="trailhook-pictures-") as place:
        settings = Settings(data_dir=Path(place) / "data")
        clock = InventedClock()
        async with app.build(settings, clock=clock, announce=lambda _: None) as parts:
            world = World(parts, clock)
            await world.fill()
            server = uvicorn.Server(uvicorn.Config(create_site(parts), port=port, log_config=None, lifespan="off"))
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.05)
            try:
                yield world
            finally:
                parts.tails.close()
                server.should_exit = True
                await serving


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, and what somebody does there before the picture is taken."""

    name: str
    path: str
    prepare: Callable[[Page, World], Awaitable[None]] | None = None


async def pictures(world: World) -> Sequence[Picture]:
    """Every page of the dashboard."""
    dead = await world.parts.store.batches(BatchQuery(states=[BatchState.DEAD], limit=1))
    bad = (await world.parts.store.quarantine(None, limit=1))[0]
    query = quote("errorCode:* -user:*deploy-bot*")
    return (
        Picture("sign-in", "/ui/sign-in"),
        Picture("overview", "/"),
        Picture("source", f"/ui/sources/{world.ids['production']}"),
        Picture("source-failing", f"/ui/sources/{world.ids['partner-feed']}"),
        Picture("add-source", "/ui/sources/new", _fill_in),
        Picture("deliveries", "/ui/deliveries"),
        Picture("delivery", f"/ui/deliveries/{dead[0].id}"),
        Picture("dead-letters", "/ui/dead-letters"),
        Picture("quarantine", "/ui/quarantine"),
        Picture("quarantined", f"/ui/quarantine/{bad.id}"),
        Picture("events", f"/ui/events?range=1h&q={query}"),
        Picture("live", "/ui/live", _let_happen),
        Picture("settings", "/ui/settings"),
    )


async def _fill_in(page: Page, _: World) -> None:
    await page.route("**/check/*?live", lambda asked: asked.fulfill(body=""))  # AWS knows nothing of what is invented
    await page.get_by_label("S3 bucket").fill("example-org-trail")
    await page.get_by_label("Prefix").fill("AWSLogs/o-a1b2c3d4e5/")
    await page.get_by_label("Name", exact=True).fill("production")
    await page.get_by_label("S3 bucket").focus()
    await page.evaluate("scrollTo(0, 0)")


async def _let_happen(page: Page, world: World) -> None:
    await page.wait_for_timeout(SETTLED_MS)
    for name in ("production", "payments", "security-tooling"):
        await world.happen(name, count=8)
    await page.wait_for_timeout(2 * SETTLED_MS)


async def shoot(only: str) -> None:
    """Take the pictures whose names begin with `only`."""
    path = chromium_path()
    if path is None:
        sys.exit("There is no Chromium here: install one, or name it in TRAILHOOK_TEST_CHROMIUM.")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    IMAGES.mkdir(exist_ok=True)
    async with shown(port) as world, browsing(path) as browser, await browser.new_page() as blank:
        token = await world.sign_up("alice")
        wanted = [each for each in await pictures(world) if each.name.startswith(only)]
        for scheme, (size, (width, height)) in itertools.product(SCHEMES, SIZES.items()):
            async with somebody(
                browser,
                f"http://127.0.0.1:{port}",
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
            ) as person:
                await person.context.clock.set_fixed_time(datetime.fromtimestamp(END_AT, UTC))
                for each in wanted:
                    await _take(person, each, world, token, IMAGES / f"{each.name}-{size}-{scheme}.png", blank)


async def _take(person: Person, picture: Picture, world: World, token: str, target: Path, blank: Page) -> None:
    await person.open(picture.path)
    if picture.name != "sign-in" and "/ui/sign-in" in person.page.url:
        await person.sign_in(token, then=picture.path)
    if picture.prepare:
        await picture.prepare(person.page, world)
    await person.page.wait_for_timeout(SETTLED_MS)
    picture_png = await person.page.screenshot(animations="disabled", caret="hide")
    target.write_bytes(small := await smaller(picture_png, blank))
    wider = await person.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    print(f"{target.name}: {len(small) // 1024} KiB{' TOO WIDE' if wider > 0 else ''}", flush=True)


async def smaller(png: bytes, blank: Page) -> bytes:
    """The same picture in 256 colours, which is more than most have. `blank` is a page to count them in."""
    found = await blank.evaluate(PALETTE, base64.b64encode(png).decode())
    width, height, pixels = found["width"], found["height"], base64.b64decode(found["pixels"])
    lines = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
    palette = b"".join(color.to_bytes(3, "big") for color in found["palette"])
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def main() -> None:
    """Take them; `--only` takes those whose names begin so."""
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    asyncio.run(shoot(options.parse_args().only))


if __name__ == "__main__":
    main()
