"""One connection to one vetted address, carrying one exchange at a time."""

import asyncio
import ssl
from typing import cast

from trailhook.net.answer import AnswerReader

_CLOSED = "the connection was closed before the answer was whole"
_BROKEN = "the connection broke before the answer was whole"
_TOGETHER_BYTES_MAX = 16 * 1024
"""Up to this a request is copied into one piece, so that it may be one packet."""


class Connection(asyncio.Protocol):
    """Made by the event loop once TCP is there; `upgrade` puts TLS on top."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tcp: asyncio.Transport | None = None
        self._wire: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._done: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._unsent = False

    # ------------------------------------------------------------------------------------------- for the transport

    @property
    def usable(self) -> bool:
        """Another exchange may be tried on it."""
        return self._wire is not None and not self._wire.is_closing() and self.sent

    @property
    def sent(self) -> bool:
        """All that was written has been handed to the kernel.

        For TLS it may say so too early once the connection has broken, never too late.
        """
        return not self._unsent and self._tcp is not None and self._tcp.get_write_buffer_size() == 0

    def peer(self) -> str | None:
        """The address that was really reached; None if it has gone again."""
        name = None if self._wire is None else self._wire.get_extra_info("peername")
        return name[0] if name else None

    async def upgrade(self, context: ssl.SSLContext, server_name: str) -> None:
        """The TLS handshake. Raises OSError (`ssl.SSLError` is one) as the event loop does, and is closed then."""
        try:
            self._wire = await self._secured(context, server_name)
        except BaseException:
            self.abort()
            self._loop.call_soon(self._let_go)  # the event loop does not tell us of an end within the handshake
            raise

    async def exchange(self, head: bytes, body: bytes, reader: AnswerReader) -> None:
        """Write a request and return once `reader` is finished, however it ended: the reader tells."""
        if self._wire is None or self._wire.is_closing():
            self._unsent = True
            reader.end("the connection was closed before the request was sent")
            return
        self._reader, self._done = reader, self._loop.create_future()
        if len(body) > _TOGETHER_BYTES_MAX:
            self._wire.write(head)
            self._wire.write(body)  # not writelines: some releases of Python forget to pause_writing there
        else:
            self._wire.write(head + body)
        self._unsent = self._unsent or self._wire.is_closing()
        try:
            await self._done
        finally:
            self._reader = None

    def abort(self) -> None:
        """Close at once; what is not sent is dropped."""
        if self._wire is not None:
            self._wire.abort()

    @property
    def lost(self) -> asyncio.Future[None]:
        """Done once the event loop has let go of the connection."""
        return self._lost

    # ------------------------------------------------------------------------------------ called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = self._wire = cast(asyncio.Transport, transport)
        self._tcp.set_write_buffer_limits(high=0)  # so that pause_writing means: not all is with the kernel

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.abort()  # an answer that nobody asked for
            return
        self._reader.feed(data)
        self._settle()

    def eof_received(self) -> None:
        self._end(_CLOSED, cleanly=True)
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(_CLOSED if error is None else _BROKEN)
        self._let_go()

    def pause_writing(self) -> None:
        self._unsent = True

    def resume_writing(self) -> None:
        self._unsent = False

    # ---------------------------------------------------------------------------------------------------------------

    async def _secured(self, context: ssl.SSLContext, server_name: str) -> asyncio.Transport:
        if self._wire is None or self._wire.is_closing():
            raise ConnectionResetError  # a handshake would wait for ever
        secure = await self._loop.start_tls(self._wire, self, context, server_hostname=server_name)
        if secure is None:
            raise ConnectionResetError
        return secure

    def _let_go(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)

    def _end(self, fault: str, *, cleanly: bool = False) -> None:
        if self._reader is not None:
            self._reader.end(fault, cleanly=cleanly)
            self._settle()

    def _settle(self) -> None:
        if self._reader is not None and self._reader.finished and self._done is not None and not self._done.done():
            self._done.set_result(None)
