"""Reading an HTTP/1.1 answer from bytes, however they are cut; no input or output of its own."""

import httptools

from trailhook.net.base import Answer, Request

HEAD_BYTES_MAX = 64 * 1024
"""Status line and headers, interim answers and trailers included; nginx and Apache send at most 8 to 16 KiB."""
_INTERIM = range(100, 200)


class AnswerReader:
    """Builds the one answer to `request`. Feed it until it is `finished`."""

    def __init__(self, request: Request) -> None:
        self._bytes_max = request.body_bytes_max
        self._headless = request.method == "HEAD"
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._silent_bytes = 0
        self._ends_with_connection = False
        self.started = False
        """A byte of the answer has come."""
        self.cut = False
        """The body is longer than asked for: what is over has been dropped."""
        self.finished = False
        """The answer is whole, cut or broken; no more bytes are wanted."""
        self.reusable = False
        """The connection may carry another exchange: the answer ended where both sides know it did."""
        self.fault = ""
        """Why the answer broke off, if it did."""

    @property
    def has_status(self) -> bool:
        """Status line and headers have come whole."""
        return self._status != 0

    def answer(self) -> Answer:
        """What has come so far. Call it once `has_status`; the pieces of the body are given up."""
        body, self._chunks = b"".join(self._chunks), []
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._headers)
        return Answer(status=self._status, headers=headers, body=body, cut=self.cut, broken=self.fault)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; never raises."""
        self.started = True
        if self._parser is None:
            self.reusable = False  # bytes that nobody asked for
            return
        body_bytes_before = self._body_bytes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end("the answer is not valid HTTP")
        # The parser keeps a header that has not ended to itself: what yields no body must not go on for ever.
        self._silent_bytes = 0 if self._body_bytes > body_bytes_before else self._silent_bytes + len(data)
        self._bound_head(self._silent_bytes)

    def end(self, fault: str, *, cleanly: bool = False) -> None:
        """No more bytes will come, because of `fault`. A clean end of the connection may be how the answer ends."""
        self._end("" if cleanly and self._ends_with_connection else fault)

    # ------------------------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        if self.finished:
            self.reusable = False  # bytes that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._bound_head(self._head_bytes)
        if not self.has_status and not self.finished:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self._headers.clear()
            return
        self._status = status
        self._ends_with_connection = self._has_no_length()
        if self._headless:
            self._end("", reusable=self._parser.should_keep_alive())

    def on_body(self, chunk: bytes) -> None:
        if self.finished:
            return
        room = self._bytes_max - self._body_bytes
        self._body_bytes += len(chunk)
        self._chunks.append(chunk if len(chunk) <= room else chunk[:room])
        if len(chunk) > room:
            self.cut = True
            self._end("")

    def on_message_complete(self) -> None:
        if self._parser is not None and self.has_status:
            self._end("", reusable=self._parser.should_keep_alive())

    # ------------------------------------------------------------------------------------------------------------

    def _bound_head(self, size_bytes: int) -> None:
        if size_bytes > HEAD_BYTES_MAX:
            self._end(f"the answer's headers are over {HEAD_BYTES_MAX} bytes")

    def _has_no_length(self) -> bool:
        """RFC 9112, 6.3: neither chunked nor counted, so the body ends with the connection."""
        named = {name.lower(): value.lower() for name, value in self._headers}
        coding = named.get(b"transfer-encoding")
        return b"content-length" not in named if coding is None else not coding.endswith(b"chunked")

    def _end(self, fault: str, *, reusable: bool = False) -> None:
        if self.finished:
            return
        self.finished = True
        self.fault = fault
        self.reusable = reusable
        self._parser = None  # it holds this reader, and this reader holds a body
