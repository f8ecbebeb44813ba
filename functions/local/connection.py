"""One connection of a caller: uvicorn's protocol, which hands calls on as exchanges and the rest to ASGI."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from functions.calls.problems import MAX_BODY, Problem, Response, too_large
from functions.calls.routes import Route, route
from functions.local.exchange import Application, Exchange
from functions.local.head import Head, learn
from functions.local.protocol import BoundedProtocol

READ_ONCE = (
    b"x-api-key",
    b"authorization",
    b"content-type",
    b"idempotency-key",
    b"inference-header-content-length",
)
LESSONS = 8  # heads that are kept in vain before a connection that never repeats itself is left to the parser


class CallProtocol(BoundedProtocol):
    """One connection. The requests on it are answered in their order, one at a time."""

    cycle: Any  # an Exchange, or uvicorn's own
    _head: Head | None = None  # of the last call that came in one piece
    _lessons = LESSONS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application: Application = self.config.app  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take a call whose head came before as that one was parsed; leave all else to the parser."""
        if not self.between or not (self.cycle is None or self.cycle.response_complete):
            super().data_received(data)
            return
        head = self._head
        known = None if head is None else head.read(data)
        if head is None or known is None:
            super().data_received(data)
            if self._lessons and self.between:
                self._learn(data)
        else:
            self._repeat(head, *known)

    def on_headers_complete(self) -> None:
        """Tell calls from the rest."""
        path, way = _lead(self.url)
        if way is None:
            super().on_headers_complete()
            return
        self.end_headers()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        keep = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        exchange = Exchange(self, self.parser.get_method().decode("ascii"), path, way.model, headers, keep)
        if len(headers) < len(self.headers):
            exchange.refusal = _repeated([name for name, _ in self.headers])
        former, self.cycle = self.cycle, exchange
        if former is None or former.response_complete:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        """Gather a call's body, as far as it may go."""
        exchange = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_body(body)
        elif exchange.size <= MAX_BODY and exchange.refusal is None:
            exchange.size += len(body)
            exchange.chunks.append(body)
            if exchange.size > MAX_BODY and exchange.started:
                self._refuse(exchange)

    def on_message_complete(self) -> None:
        """Hand a call on, if its turn has come."""
        exchange = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        self.has_arrived()
        exchange.more_body = False
        exchange.arrive()
        if exchange.started and exchange.size <= MAX_BODY and exchange.refusal is None:
            self._application.call(exchange)

    def _learn(self, data: bytes) -> None:
        """Keep the head of a call, if `data` is one from its first byte to its last."""
        exchange = self.cycle
        if isinstance(exchange, Exchange) and exchange.keep_alive and exchange.refusal is None:
            self._lessons -= 1
            names = [name for name, _ in self.headers]
            head = learn(data, names, exchange.headers, exchange.method, exchange.path, exchange.model)
            self._head = head or self._head

    def _repeat(self, head: Head, headers: Mapping[str, str], body: bytes) -> None:
        """Take a call as the parser's callbacks do, all of it at once."""
        self._lessons = LESSONS
        self._unset_keepalive_if_required()
        exchange = Exchange(self, head.method, head.path, head.model, headers, True)
        exchange.chunks.append(body)
        exchange.more_body = False
        exchange.started = True
        exchange.arrive()
        self.cycle = self.active = exchange
        self._application.call(exchange)

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Send an answer in one piece and go on with what waits on this connection."""
        lines = [f"{name}: {value}\r\n" for name, value in response.headers.items()]
        if not exchange.keep_alive:
            lines.append("connection: close\r\n")
        lines.append(f"content-length: {len(response.body)}\r\n\r\n")
        body = b"" if exchange.method == "HEAD" else response.body
        head = "".join(lines).encode("latin-1")
        self.transport.write(_first_lines(response.status, *self.server_state.default_headers) + head + body)
        if exchange.more_body:
            self.linger()
        elif not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Exchange):
            self._start(cycle)
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self, exchange: Exchange) -> None:
        """The turn of this request has come; its body may be here already, or still under way."""
        exchange.started = True
        self.active = exchange
        announced = exchange.headers.get("content-length", "")
        if announced.isdigit() and int(announced[:12]) > MAX_BODY:
            exchange.size = int(announced[:12])
        if exchange.refusal is not None or exchange.size > MAX_BODY:
            self._refuse(exchange)
        elif not exchange.more_body:
            self._application.call(exchange)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, exchange: Exchange) -> None:
        exchange.keep_alive = False
        exchange.chunks.clear()
        exchange.arrive()
        self._application.refuse(exchange, exchange.refusal or too_large())


@lru_cache(maxsize=256)  # with route() behind it: a service has few addresses
def _lead(url: bytes) -> tuple[str, Route | None]:
    path = httptools.parse_url(url).path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return path, route(path)


@lru_cache(maxsize=64)
def _first_lines(status: int, *headers: tuple[bytes, bytes]) -> bytes:
    """The status, and what uvicorn says on every answer: the date."""
    return STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % pair for pair in headers])


def _repeated(names: list[bytes]) -> Problem | None:
    """Which header that we read came twice: which of the two holds would be anyone's guess."""
    for name in READ_ONCE:
        if names.count(name) > 1:
            return Problem("invalid-request", f"The header {name.decode()} was expected once.")
    return None
