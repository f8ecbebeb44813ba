"""Calls without ASGI: one HTTP request for a model, and its answer, as bytes.

uvicorn's protocol parses, keeps connections alive and stops gracefully. A request on a path of the
predict core takes its place in there as an `Exchange`, where others get an ASGI cycle and a task:
those would cost a call more than its key, its limits and its model together.
"""

from __future__ import annotations

import os
from asyncio import Event
from collections.abc import Iterator, Mapping
from itertools import chain
from time import perf_counter_ns, time_ns
from typing import Protocol

from functions.calls.dialect import Request
from functions.calls.problems import Problem, Response

RANDOM_BYTES = 10  # of an attempt's id; 80 bits can't be guessed
DRAWN_AT_ONCE = 256


def _draw() -> Iterator[list[str]]:
    size = 2 * RANDOM_BYTES
    while True:
        drawn = os.urandom(RANDOM_BYTES * DRAWN_AT_ONCE).hex()
        yield [drawn[at : at + size] for at in range(0, len(drawn), size)]


_random = chain.from_iterable(_draw())  # one system call for many


class Exchange:
    """One request and its answer, with the members that uvicorn's protocol asks of its own cycles."""

    __slots__ = (
        "attempt_id",
        "began",
        "chunks",
        "connection",
        "disconnected",
        "headers",
        "keep_alive",
        "method",
        "model",
        "more_body",
        "path",
        "refusal",
        "response_complete",
        "size",
        "started",
        "time_ms",
    )

    message_event = Event()  # uvicorn's cycles wait for it, these don't

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        model: str,
        headers: Mapping[str, str],
        keep_alive: bool,
    ) -> None:
        self.began = perf_counter_ns()
        self.attempt_id = ""
        self.connection = connection
        self.method = method
        self.path = path
        self.model = model
        self.headers = headers
        self.keep_alive = keep_alive
        self.chunks: list[bytes] = []
        self.size = 0
        self.more_body = True
        self.started = False
        self.disconnected = False
        self.response_complete = False
        self.refusal: Problem | None = None

    def arrive(self) -> None:
        """Name it, when it is whole or refused: a client that dawdles must not call in the past."""
        if not self.attempt_id:
            self.time_ms = time_ns() // 1_000_000
            # Rows of one millisecond share a page of the ledger's index.
            self.attempt_id = f"{self.time_ms:012x}{next(_random)}"

    @property
    def request(self) -> Request:
        """What the predict core is asked."""
        body = b"".join(self.chunks)
        return Request(self.method, self.path, self.headers, body, self.attempt_id, self.time_ms)

    def problem(self, problem: Problem) -> Response:
        """Word a problem in this request's dialect."""
        return problem.response(self.attempt_id, v2=self.path.startswith("/v2"))

    def send(self, response: Response) -> None:
        """Write the answer, unless the caller has gone."""
        if not self.disconnected:
            self.response_complete = True
            self.connection.answer(self, response)


class Connection(Protocol):
    """Where an exchange came from; CallProtocol is one."""

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Send its answer."""


class Application(Protocol):
    """Where calls go; LocalServer is one. It answers each by its `send`, later."""

    def call(self, exchange: Exchange) -> None:
        """Answer a request that has come whole."""

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Answer one whose body will not be read."""
