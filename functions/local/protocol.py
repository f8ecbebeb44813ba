"""uvicorn's HTTP protocol with a bound on headers, and with its own errors as problem documents.

uvicorn hands a request to the application once its headers are complete, however large they grow.
The bound is API Gateway's own: 10,240 bytes for the request line and all headers.
"""

from __future__ import annotations

import os

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from functions.calls.problems import Problem

MAX_HEADER_BYTES = 10_240
LINGER_SECONDS = 1.0


class HeadersTooLarge(Exception):
    """Raised inside the parser to stop it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request whose headers are over the bound is refused and the connection closed."""

    _header_bytes = 0  # of headers that are complete
    _pending = 0  # received since the request began, while its headers are not
    _in_headers = True
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that end inside the headers count against the bound even before they are a header."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_headers and not self._refused:
            self._pending += len(data)
            if self._pending > MAX_HEADER_BYTES:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start to count anew."""
        super().on_message_begin()
        self._header_bytes = self._pending = 0
        self._in_headers = True

    def on_url(self, url: bytes) -> None:
        """Count the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        self.end_headers()
        super().on_headers_complete()

    def end_headers(self) -> None:
        """Stop to count: what comes now is the body."""
        self._in_headers = False

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, with a problem document."""
        if max(self._header_bytes, self._pending) > MAX_HEADER_BYTES:
            problem = Problem(
                "headers-too-large", f"At most {MAX_HEADER_BYTES:,} bytes of headers were expected."
            )
        else:
            problem = Problem("invalid-request", "A well-formed HTTP/1.1 request was expected.")
        response = problem.response(os.urandom(16).hex())
        headers = {**response.headers, "content-length": str(len(response.body)), "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[response.status] + lines.encode() + b"\r\n" + response.body)
        self.linger()

    def linger(self) -> None:
        """Read no more, and close once the client had time to read its answer.

        Closing while it still sends would reset the connection, and the answer with it.
        """
        self._refused = True
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _count(self, size: int) -> None:
        self._header_bytes += size + 4  # a colon, a space and the end of the line
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HeadersTooLarge
