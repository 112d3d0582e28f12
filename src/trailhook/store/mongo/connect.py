"""From a URL to a database that can be worked with, or to the reason why not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pymongo
from pymongo.errors import ConfigurationError, OperationFailure, ServerSelectionTimeoutError

from trailhook.clock import Clock
from trailhook.errors import SettingsError
from trailhook.store.mongo.engine import Client, Engine, Row, at_the_edge
from trailhook.store.mongo.schema import migrate

DATABASE = "trailhook"
"""Where the URL names none."""
TIMEOUT_MS = 15_000
"""A verb as a whole, repetitions included: beyond an election (ten seconds), well within the leases."""
DEFAULTS: dict[str, Any] = {
    "appName": "trailhook",
    "serverSelectionTimeoutMS": 5_000,  # who opens the store or asks whether it is ready waits no longer
    "connectTimeoutMS": 5_000,
    "timeoutMS": TIMEOUT_MS,
    "maxPoolSize": 100,
}
"""What the URL may set otherwise."""
PROMISED: dict[str, Any] = {
    "w": "majority",
    "readConcernLevel": "majority",
    "readPreference": "primary",
    "retryWrites": True,
}
"""What it may not: anything less can lose or double events when a primary fails."""
WIRE_VERSION_MIN = 17
"""MongoDB 6.0."""
REFUSED_CODES = frozenset({13, 18, 8_000})
"""Not authorized; authentication failed, as a server and as Atlas says it."""


@asynccontextmanager
async def connected(url: str, clock: Clock) -> AsyncIterator[Engine]:
    """What runs on the database that `url` names, brought up to date.

    Raises `SettingsError` for what only a change of the settings can mend, `StoreUnavailable` if nobody answers.
    """
    async with _client(url) as client:
        timeout_s = client.options.timeout or TIMEOUT_MS / 1_000
        db = client.get_default_database(DATABASE)
        with at_the_edge(), pymongo.timeout(timeout_s):
            async with _refusals(client):
                with pymongo.timeout(client.options.server_selection_timeout):
                    _check_server(await client.admin.command("hello"))
                await migrate(db)
        engine = Engine(db, clock, timeout_s=timeout_s)
        await engine.next_numbers("opened", 1)  # whose answer tells the clock the time
        yield engine


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Client]:
    try:
        given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
        defaults = {name: value for name, value in DEFAULTS.items() if name.lower() not in given}
        client = Client(url, **defaults, **PROMISED)
    except (ConfigurationError, ValueError) as error:
        raise SettingsError(f"TRAILHOOK_MONGODB_URL is not a MongoDB URL ({type(error).__name__})") from None
    async with client:
        yield client


@asynccontextmanager
async def _refusals(client: Client) -> AsyncIterator[None]:
    try:
        yield
    except OperationFailure as error:
        if error.code not in REFUSED_CODES:
            raise
        raise SettingsError(
            "TRAILHOOK_MONGODB_URL: MongoDB does not let us in with this user and password, or the user lacks the role "
            "readWrite on the database"
        ) from error
    except ConfigurationError as error:
        raise SettingsError("TRAILHOOK_MONGODB_URL names hosts or options that MongoDB's driver refuses") from error
    except ServerSelectionTimeoutError as error:
        if any([await _has_an_address(*each) for each in client.topology_description.server_descriptions()]):
            raise
        raise SettingsError("TRAILHOOK_MONGODB_URL names only hosts that no name server knows") from error


async def _has_an_address(host: str, port: int | None) -> bool:
    """Asked again: what the driver tells of it is text. A socket's path has no port."""
    try:
        return port is None or bool(await asyncio.get_running_loop().getaddrinfo(host, port))
    except socket.gaierror as error:
        return error.errno != socket.EAI_NONAME


def _check_server(hello: Row) -> None:
    """Raises `SettingsError` for a server without transactions, or one that is too old."""
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise SettingsError(
            "TRAILHOOK_MONGODB_URL leads to a standalone server, and only a replica set has the transactions that keep "
            "events from being lost or doubled: start mongod with --replSet rs0 and run rs.initiate() once; one member "
            "is enough"
        )
    if hello["maxWireVersion"] < WIRE_VERSION_MIN:
        raise SettingsError("TRAILHOOK_MONGODB_URL leads to a MongoDB older than 6.0: upgrade it")
