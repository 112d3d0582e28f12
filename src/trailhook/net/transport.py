"""HTTP/1.1 over guarded connections: what sends every callback and fetches every object.

One exchange: take an idle connection or dial (resolve, vet, connect to a vetted address, see who answered, TLS with the
original name), write the request, read the answer, keep the connection. One deadline spans it all.
"""

import asyncio
from types import TracebackType
from typing import Self

from trailhook.errors import Refused, TrailhookError
from trailhook.net.answer import AnswerReader
from trailhook.net.base import Answer, AnswerTooLong, ExchangeFailed, Phase, Request
from trailhook.net.connection import Connection
from trailhook.net.dial import Dialer
from trailhook.net.guard import Guard, Target
from trailhook.net.pool import Key, Pool
from trailhook.settings import Settings

_OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Framing is ours alone: such headers of a request are left out."""
_NEVER_WITH_BODY = frozenset({"GET", "HEAD"})


class HttpTransport:
    """`net.base.Transport` over the network. An asynchronous context manager, as it owns connections."""

    def __init__(self, guard: Guard, settings: Settings) -> None:
        self._guard = guard
        self._dialer = Dialer(guard, settings)
        self._pool = Pool(idle_max=settings.idle_connections_max, idle_s=settings.idle_connection_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the idle connections; exchanges under way go on and close theirs."""
        await self._pool.aclose()

    async def send(self, request: Request) -> Answer:
        """See `net.base.Transport.send`. A cancelled exchange closes its connection.

        A kept connection that turns out to be closed before a byte of the answer has come is replaced once, within
        the same deadline: requests must bear being carried out twice.
        """
        target = self._guard.check_url(request.url)
        exchange = _Exchange(request, target, self._dialer, self._pool)
        try:
            async with asyncio.timeout(request.deadline_s):
                return await exchange.run()
        except TimeoutError as error:
            return exchange.end_at_deadline(error)


class _Exchange:
    """One request and where it stands."""

    def __init__(self, request: Request, target: Target, dialer: Dialer, pool: Pool) -> None:
        self._request = request
        self._target = target
        self._head = _head(request, target)
        self._dialer = dialer
        self._pool = pool
        ca_certificate = request.ca_certificate if target.scheme == "https" else None
        self._key = Key(target.scheme, target.host, target.port, ca_certificate)
        self._reader = AnswerReader(request)
        self._phase = Phase.DNS
        self._sent = False

    async def run(self) -> Answer:
        """Exchange it over a kept connection, else over a new one."""
        kept = self._pool.take(self._key)
        if kept is not None:
            await self._converse(kept)
            if self._reader.started:
                return self._outcome()
        await self._converse(await self._dial())
        return self._outcome()

    def end_at_deadline(self, cause: TimeoutError) -> Answer:
        """What had come by then. Raises `ExchangeFailed` if that is no status."""
        self._reader.end("the deadline passed before the answer was whole")
        if self._reader.has_status:
            return self._outcome()
        raise self._failed("the deadline passed", timed_out=True) from cause

    async def _dial(self) -> Connection:
        lost = self._failed(self._reader.fault) if self._sent else None
        try:
            return await self._new_connection()
        except TrailhookError as error:
            if lost is not None:  # what matters more: the request may have been carried out
                raise lost from error
            raise

    async def _new_connection(self) -> Connection:
        self._phase = Phase.DNS
        addresses = await self._dialer.resolve(self._target)
        self._phase = Phase.CONNECT
        connection = await self._dialer.connect(self._target, addresses)
        if self._target.scheme == "https":
            self._phase = Phase.TLS
            try:
                await self._dialer.secure(connection, self._target, self._key.ca_certificate)
            except BaseException:
                self._pool.close(connection)
                raise
        return connection

    async def _converse(self, connection: Connection) -> None:
        self._reader = AnswerReader(self._request)
        try:
            await connection.exchange(self._head, self._request.body, self._reader)
        finally:
            self._phase = Phase.ANSWER if connection.sent else Phase.SEND
            self._sent = self._sent or connection.sent
            if self._reader.reusable:
                self._pool.keep(self._key, connection)
            else:
                self._pool.close(connection)

    def _outcome(self) -> Answer:
        if self._reader.cut and not self._request.cut_long_answers:
            raise AnswerTooLong(f"the answer is longer than {self._request.body_bytes_max} bytes")
        if self._reader.has_status:
            return self._reader.answer()
        raise self._failed(self._reader.fault)

    def _failed(self, why: str, *, timed_out: bool = False) -> ExchangeFailed:
        return ExchangeFailed(self._phase, why, sent=self._sent, timed_out=timed_out)


def _head(request: Request, target: Target) -> bytes:
    lines = [f"{request.method} {target.path_and_query} HTTP/1.1", f"host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers if name.lower() not in _OUR_HEADERS]
    if request.body or request.method not in _NEVER_WITH_BODY:
        lines.append(f"content-length: {len(request.body)}")
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text or not text.isascii():
        raise Refused("a header holds a line break, a zero byte or a letter beyond ASCII")
    return f"{text}\r\n\r\n".encode("ascii")
