"""What the shell completes: the names of the sources, asked for at the API."""

import os
from collections.abc import Iterator

from trailhook.cli.client import Document, from_environment
from trailhook.cli.output import printable
from trailhook.errors import TrailhookError

TIMEOUT_S = 2.0
"""Somebody has pressed a key and waits."""
NAMES_MAX = 100


def source_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names, and ids of which something is typed, each with what tells it from the others; none if the API is away."""
    try:
        answer = from_environment(os.environ).patient(TIMEOUT_S).call("GET", "sources", query={"limit": NAMES_MAX})
    except TrailhookError:
        return
    sources: list[Document] = answer["sources"]
    for each in sources:
        name = printable(str(each["name"]))[0]
        if name.startswith(incomplete):
            yield name, str(each["status"])
        if incomplete and each["id"].startswith(incomplete):
            yield each["id"], name
