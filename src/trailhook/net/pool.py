"""Connections that are idle between two exchanges."""

import asyncio
from typing import NamedTuple

from trailhook.net.connection import Connection


class Key(NamedTuple):
    """What two requests must have in common to share a connection."""

    scheme: str
    host: str
    port: int
    ca_certificate: str | None


class Pool:
    """Keeps idle connections, at most `idle_max` in all, each for at most `idle_s`; the last given back goes first."""

    def __init__(self, *, idle_max: int, idle_s: float) -> None:
        self._idle_max = idle_max
        self._idle_s = idle_s
        self._idle: dict[Key, list[Connection]] = {}
        self._expiries: dict[Connection, tuple[Key, asyncio.TimerHandle]] = {}  # the longest idle first
        self._closing: set[asyncio.Future[None]] = set()
        self._closed = False

    def take(self, key: Key) -> Connection | None:
        """A connection that looks alive, if there is one. The other side may still be closing it."""
        while connections := self._idle.get(key):
            connection = connections[-1]
            self._forget(connection)
            if connection.usable:
                return connection
            self.close(connection)
        return None

    def keep(self, key: Key, connection: Connection) -> None:
        """Have it for later, or close it if there is no room."""
        if self._closed or self._idle_max == 0 or not connection.usable:
            self.close(connection)
            return
        if len(self._expiries) >= self._idle_max:
            self._expire(next(iter(self._expiries)))
        expiry = asyncio.get_running_loop().call_later(self._idle_s, self._expire, connection)
        self._expiries[connection] = (key, expiry)
        self._idle.setdefault(key, []).append(connection)

    def close(self, connection: Connection) -> None:
        """Close at once."""
        connection.abort()
        if not connection.lost.done():
            self._closing.add(connection.lost)
            connection.lost.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close what is idle, and from now on all that is given back; return when the event loop has let go of it."""
        self._closed = True
        for connection in list(self._expiries):
            self._expire(connection)
        if self._closing:
            await asyncio.wait(self._closing)

    def _expire(self, connection: Connection) -> None:
        self._forget(connection)
        self.close(connection)

    def _forget(self, connection: Connection) -> None:
        key, expiry = self._expiries.pop(connection)
        expiry.cancel()
        connections = self._idle[key]
        connections.remove(connection)
        if not connections:
            del self._idle[key]
