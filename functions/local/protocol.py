"""uvicorn's HTTP protocol with bounds on what a client may send, and errors as problem documents.

uvicorn itself bounds neither headers nor trailers nor the time a request may take to arrive. The
bound on the request line and all headers is API Gateway's own. What is refused is answered behind
the answers that the connection still owes: a call that was accepted is never lost to what follows it.
"""

from __future__ import annotations

import os
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from functions.calls.problems import MAX_BODY, Problem

MAX_HEADER_BYTES = 10_240
MAX_MESSAGE_BYTES = 2 * MAX_BODY  # of a request as sent: chunks have a frame each, and trailers count
SEPARATORS = 4  # a colon, a space and the end of the line
REQUEST_SECONDS = 30.0
LINGER_SECONDS = 1.0
MIN_SECONDS = 0.05  # between two looks at a connection's deadlines


class Refused(Exception):
    """Raised inside the parser to stop it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request over a bound is refused and the connection closed."""

    active: Any = None  # the request that is being answered, or was last
    between = True  # the parser has read one request to its end, and nothing of the next
    _header_bytes = 0  # of headers that are complete
    _pending = 0  # received since the request began, while its headers are not
    _message_bytes = 0
    _in_headers = True
    _began = _completed = False  # within the bytes just parsed
    _refused = False
    _refusal: Problem | None = None
    _deadline = 0.0  # by the loop's clock, of the request that is awaited; 0 for none
    _idle_until = 0.0  # when a connection that waits for its next request is closed
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(transport)
        self._expect()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._arrived()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that end inside the headers count against the bound even before they are a header."""
        if self._refused:
            return
        self._began = self._completed = False
        super().data_received(data)
        if self._refused or not self._deadline:
            return
        # How much of the bytes belongs to a request that began behind another one is not known.
        size = 0 if self._began and self._completed else len(data)
        self._message_bytes += size
        if self._in_headers:
            self._pending += size
        if self._pending > MAX_HEADER_BYTES or self._message_bytes > MAX_MESSAGE_BYTES:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start to count anew."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._header_bytes = self._pending = self._message_bytes = 0
        self._in_headers = self._began = True
        self.between = False
        self._expect()

    def on_url(self, url: bytes) -> None:
        """Count the address."""
        self._header_bytes += len(url) + SEPARATORS
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header. After an Upgrade the parser would take the body for another request."""
        self._header_bytes += len(name) + len(value) + SEPARATORS
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused
        name = name.lower()
        if name == b"upgrade":
            self._refusal = Problem("invalid-request", "Send the request without the header Upgrade.")
            raise Refused
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request on, with the ASGI scope that uvicorn makes where one begins."""
        self.end_headers()
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def end_headers(self) -> None:
        """Stop to count: what comes now is the body."""
        self._in_headers = False

    def on_message_complete(self) -> None:
        """Let the request be answered."""
        self.has_arrived()
        super().on_message_complete()

    def has_arrived(self) -> None:
        """Note that a whole request has come."""
        self._completed = self.between = True
        self._arrived()

    def on_response_complete(self) -> None:
        """Go on with what waits; a refusal waits behind all of it. Else as uvicorn, but for its timer."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_until = self.loop.time() + self.timeout_keep_alive
        if self._refused and not self._owes():
            self._send_refusal()

    def shutdown(self) -> None:
        """Close at once a connection whose only request has not arrived: nothing was accepted."""
        if self._deadline and not self._owes():
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, with a problem document."""
        if self._refused:
            return
        if max(self._header_bytes, self._pending) > MAX_HEADER_BYTES:
            detail = f"At most {MAX_HEADER_BYTES:,} bytes of headers were expected."
            self._refusal = Problem("headers-too-large", detail)
        elif self._refusal is None:
            self._refusal = Problem("invalid-request", "A well-formed HTTP/1.1 request was expected.")
        self._refused = True
        self.between = False
        self._arrived()
        if self.cycle is not None and self.cycle.more_body:  # the one that is refused
            self.cycle.disconnected = True
            self.pipeline = type(self.pipeline)(pair for pair in self.pipeline if pair[0] is not self.cycle)
        if not self._owes():
            self._send_refusal()

    def linger(self) -> None:
        """Read no more, and close once the client had time to read its answer.

        Closing while it still sends would reset the connection, and the answer with it.
        """
        self._refused = True
        self.between = False
        self._arrived()
        if not self.transport.is_closing():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.active = cycle
        super()._start_asgi_task(cycle, app)

    def _owes(self) -> bool:
        """Whether a request that has arrived is still to be answered."""
        active = self.active
        if active is not None and not active.response_complete and not active.disconnected:
            return bool(self.pipeline) or not active.more_body
        return bool(self.pipeline)

    def _send_refusal(self) -> None:
        problem, self._refusal = self._refusal, None
        if problem is None or self.transport.is_closing():
            return
        response = problem.response(os.urandom(16).hex())
        headers = {**response.headers, "content-length": str(len(response.body)), "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[response.status] + lines.encode() + b"\r\n" + response.body)
        self.linger()

    def _expect(self) -> None:
        if not self._deadline:
            self._deadline = self.loop.time() + REQUEST_SECONDS

    def _arrived(self) -> None:
        self._deadline = 0.0

    def _unset_keepalive_if_required(self) -> None:
        self._idle_until = 0.0

    def _watch(self) -> None:
        """Close what is overdue. One timer a connection: two a request would cost more than its key."""
        now = self.loop.time()
        due = min((at for at in (self._deadline, self._idle_until) if at), default=now + REQUEST_SECONDS)
        if now >= due:
            self.transport.close()
        # Whatever is set before it looks again is due later than that.
        again = min(due - now, REQUEST_SECONDS, self.timeout_keep_alive)
        self._timer = self.loop.call_later(max(again, MIN_SECONDS), self._watch)
