"""What every peer shares with Trailhook: the document that is posted."""

import json
from collections.abc import Sequence
from typing import Any

import requests

POST_S_MAX = 30.0


def post(session: requests.Session, webhook: str, name: str, events: Sequence[Any]) -> None:
    """One request. Raises what `requests` raises; nothing is tried again."""
    data = {"sourceId": name, "count": len(events), "events": events}
    text = json.dumps({"type": "cloudtrail.events", "data": data}, ensure_ascii=False, separators=(",", ":"))
    session.post(webhook, text.encode(), timeout=POST_S_MAX).raise_for_status()
