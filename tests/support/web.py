"""The dashboard as a browser meets it: cookies kept, forms sent, htmx's headers where a part is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.types import ASGIApp

from support.asgi import Client, Reply

FORM = "application/x-www-form-urlencoded"


@dataclass
class Browser:
    """One browser, its cookies and what it was told of CSRF."""

    app: ASGIApp
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""
    seen: list[Reply] = field(default_factory=list)
    """Everything that was ever answered."""

    async def get(self, target: str, **headers: str) -> Reply:
        """A page."""
        reply = await self._call("GET", target, {"accept": "text/html", **_dashed(headers)})
        if found := re.search(r'"x-csrf-token": "([0-9a-f]+)"', reply.body.decode()):
            self.csrf = found[1]
        return reply

    async def part(self, target: str) -> Reply:
        """A part of a page, as htmx asks for it."""
        return await self._call("GET", target, {"accept": "text/html", "hx-request": "true"})

    async def send(
        self, target: str, form: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A form, as htmx sends it from one of our pages, with other headers if given."""
        ours = {"hx-request": "true", "x-csrf-token": self.csrf, "sec-fetch-site": "same-origin"}
        sent = {**ours, "content-type": FORM, **(headers or {})}
        return await self._call("POST", target, sent, urlencode(form or {}).encode())

    async def sign_in(self, token: str, then: str = "/") -> Reply:
        """Through the form, and on to the page."""
        sent = {"content-type": FORM, "sec-fetch-site": "same-origin"}
        content = urlencode({"token": token, "next": then}).encode()
        reply = await self._call("POST", "/ui/sign-in", sent, content)
        return await self.get(reply.headers["location"]) if reply.status == 303 else reply

    async def _call(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> Reply:
        cookies = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        reply = await Client(self.app).call(
            method, target, content or None, headers={**(cookies if self.cookies else {}), **headers}
        )
        self.seen.append(reply)
        if "set-cookie" in reply.headers:
            name, _, rest = reply.headers["set-cookie"].partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return reply


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
