"""Where one run keeps what it must not forget: a new SQLite file, or a MongoDB of its own."""

import contextlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measured import on_core
from trailhook.security.vault import new_key

SQLITE = "sqlite"
MONGO = "mongo"
ENGINES = (SQLITE, MONGO)


@dataclass(frozen=True, slots=True)
class Installation:
    """What stays when the product is stopped and started again."""

    engine: str
    data_dir: Path
    token: str
    environ: Mapping[str, str]
    servers: Mapping[str, int]
    """The process of each server beside the product, by name."""


@contextlib.contextmanager
def installed(engine: str) -> Iterator[Installation]:
    """An empty installation; whatever it kept is gone afterwards."""
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="trailhook-bench-") as place, _server(engine, Path(place)) as (url, pids):
        config = Path(place) / "nobody's-settings.toml"
        config.touch()
        environ = {
            "TRAILHOOK_DATA_DIR": place,
            "TRAILHOOK_CONFIG": str(config),
            "TRAILHOOK_API_TOKEN": token,
            "TRAILHOOK_MASTER_KEYS": new_key(),
            **url,
        }
        yield Installation(engine, Path(place), token, environ, pids)


@contextlib.contextmanager
def _server(engine: str, place: Path) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    if engine == SQLITE:
        yield {}, {}
        return
    from support.mongod import own_mongod  # noqa: PLC0415 - of the tests, for who asks for it: PYTHONPATH=tests

    with on_core(first=False), own_mongod(place) as server:
        yield {"TRAILHOOK_MONGODB_URL": server.url("bench")}, {"mongod": server.pid}
