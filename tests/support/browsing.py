"""A person at the dashboard: Debian's Chromium on a real service, and everything that a page must never do."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

from support.product import TOKEN

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 20_000
"""For what a page shows in the end, on a machine that does much else."""
_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def chromium_path() -> str | None:
    """The Chromium to use: the one that TRAILHOOK_TEST_CHROMIUM names, else the machine's; None if there is none."""
    return os.environ.get("TRAILHOOK_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@asynccontextmanager
async def browsing(path: str) -> AsyncIterator[Browser]:
    """A Chromium that calls nobody by itself."""
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS, *sandbox])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Person:
    """Somebody with a browser of their own. `faults` is what no page may ever do, as it happens."""

    context: BrowserContext
    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)
    refusals_expected: int = 0
    """How many answers with an error status the test provokes: a browser complains of each in its console."""

    async def open(self, path: str) -> None:
        """Type an address."""
        await self.page.goto(self.origin + path)

    async def sign_in(self, token: str = TOKEN, *, then: str = "/") -> None:
        """Ask for a page, show the token at the door, and be there."""
        await self.open(then)
        await self.page.get_by_label("API token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(self.origin + then)

    async def tab(self) -> Page:
        """Another tab of the same browser."""
        page = await self.context.new_page()
        self._watch(page)
        return page

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("request", self._look_at)

    def _note(self, kind: str, text: str) -> None:
        if kind not in ("error", "warning"):
            return
        if self.refusals_expected and "the server responded with a status of 4" in text:
            self.refusals_expected -= 1
            return
        self.faults.append(f"{kind}: {text}")

    def _look_at(self, request: Request) -> None:
        if not request.url.startswith((self.origin + "/", "data:", "blob:")):
            self.faults.append(f"foreign request: {request.url}")


@asynccontextmanager
async def somebody(browser: Browser, origin: str, **options: object) -> AsyncIterator[Person]:
    """A person with a fresh browser; at the end, no page may have done what none may do."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    await context.add_init_script(_VIOLATIONS)
    person = Person(context, await context.new_page(), origin)
    person._watch(person.page)
    yield person
    await context.close()
    assert not person.faults, person.faults
    assert not person.refusals_expected, "nothing was refused"
