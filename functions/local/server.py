"""The local server: API Gateway, Lambda and control plane in one asyncio process.

Calls come as exchanges (`exchange.py`) straight to the predict core; the rest is ASGI, for FastAPI. The
event loop works in turns: rows of the calls that a turn takes share a commit (functions/metering/group.py
says who makes it), and answers that become due together leave together, behind their lines in the
access log. So the more callers, the fewer system calls a call.
Long bodies and slow models go to threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from functions.access.keys import KeyFinder, KeyRecord, LookupUnavailable, find_presented
from functions.calls.core import Call, Calls
from functions.calls.dialect import Request
from functions.calls.problems import Problem, Response, access_unavailable, internal
from functions.local.exchange import Exchange
from functions.local.models import ServedModels
from functions.metering.accesslog import AccessLog, AccessRecord

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

INLINE_BYTES = 32 * 1024  # parsing more than this would hold the other callers up
INLINE_MICROSECONDS = 5_000  # so would a model that takes longer
PACE_CALLS = 16  # over which that is averaged: a call the machine interrupted makes no model slow
REFRESH_SECONDS = 1.0
YOUNG_OBJECTS = 10_000  # made and not yet gone, before garbage is looked for among them


class LocalServer:
    """The ASGI application, and where calls go. Whoever wires it closes the ledger once it has stopped."""

    def __init__(
        self, calls: Calls, models: ServedModels, keys: KeyFinder, api: ASGIApp, access_log: AccessLog
    ) -> None:
        self._calls = calls
        self._models = models
        self._keys = keys
        self._api = api
        self._access_log = access_log
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="call")
        self._pace: dict[str, float] = {}  # microseconds a model takes
        self._found: dict[str, KeyRecord | None] = {}  # by the keys themselves, gone when the turn is
        self._under_way = 0
        self._accepted: list[tuple[Exchange, Call]] = []
        self._drained = asyncio.Event()
        self._due: list[tuple[Exchange, str, Response]] = []

    def call(self, exchange: Exchange) -> None:
        """Answer one call; runs in the event loop and never waits."""
        self._under_way += 1
        record: KeyRecord | None = None
        try:
            record = self._find(exchange.headers)
            request = exchange.request
            if len(request.body) > INLINE_BYTES or self._pace.get(exchange.model, 0) > INLINE_MICROSECONDS:
                self._in_thread(exchange, record, lambda: self._answer(request, record))
                return
            call = self._calls.accept(request, record)
            if isinstance(call, Response):
                self._leave(exchange, record, call)
                return
            if not self._accepted:  # by then the ledger has handed this turn's rows to its writer
                asyncio.get_running_loop().call_soon(self._infer_accepted)
            self._accepted.append((exchange, call))
        except LookupUnavailable:
            self._leave(exchange, record, exchange.problem(access_unavailable()))
        except Exception as error:
            self._leave(exchange, record, exchange.problem(internal(error)))

    def _find(self, headers: Mapping[str, str]) -> KeyRecord | None:
        """Hash and look a key up once a turn: what holds for a call holds for those that came with it."""
        presented = headers.get("x-api-key")
        if presented is None:
            return find_presented(headers, self._keys)
        if not self._found:
            asyncio.get_running_loop().call_soon(self._found.clear)
        if presented not in self._found:
            self._found[presented] = find_presented(headers, self._keys)
        return self._found[presented]

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Answer a request with a problem that shows before its key is looked at."""
        self._under_way += 1
        self._leave(exchange, None, exchange.problem(problem))

    def _infer_accepted(self) -> None:
        """Infer what this turn has accepted, while its rows are on their way to the disk.

        What has to be paid first is inferred when its row is there.
        """
        accepted, self._accepted = self._accepted, []
        for exchange, call in accepted:
            if call.holds:
                call.ticket.on_settled(partial(self._infer_paid, exchange, call))
            else:
                self._infer(call)
                call.ticket.on_settled(partial(self._finish, exchange, call))

    def _infer_paid(self, exchange: Exchange, call: Call) -> None:
        try:
            self._infer(call)
        except Exception as error:
            self._leave(exchange, call.record, exchange.problem(internal(error)))
        else:
            self._finish(exchange, call)

    def _infer(self, call: Call) -> None:
        call.run()
        model = call.way.model
        pace = self._pace.get(model, 0.0)
        self._pace[model] = pace + (call.inference_us - pace) / PACE_CALLS

    def _finish(self, exchange: Exchange, call: Call) -> None:
        """The row's fate is known; the ledger's `notify` brings this into the loop, a group at a time."""
        if call.failed:  # it has to be voided, which waits for a commit of its own
            self._in_thread(exchange, call.record, call.finish)
        else:
            self._leave(exchange, call.record, _produced(exchange, call.finish))

    def _answer(self, request: Request, record: KeyRecord | None) -> Response:
        """All of a call, in a thread that may wait."""
        call = self._calls.accept(request, record)
        if isinstance(call, Response):
            return call
        self._infer(call)
        return call.finish()

    def _in_thread(
        self, exchange: Exchange, record: KeyRecord | None, produce: Callable[[], Response]
    ) -> None:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, _produced, exchange, produce)
        future.add_done_callback(lambda done: self._leave(exchange, record, done.result()))

    def _leave(self, exchange: Exchange, record: KeyRecord | None, response: Response) -> None:
        """Let an answer go with the others of this turn."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._due.append((exchange, record.key_id if record else "", response))

    def _deliver(self) -> None:
        due, self._due = self._due, []
        now = time.perf_counter_ns()
        self._access_log.write(
            *[
                AccessRecord(
                    exchange.time_ms,
                    exchange.attempt_id,
                    exchange.attempt_id,
                    key_id,
                    exchange.method,
                    exchange.path,
                    exchange.model,
                    response.status,
                    len(response.body),
                    (now - exchange.began) // 1_000_000,
                )
                for exchange, key_id, response in due
            ]
        )
        for exchange, _, response in due:
            try:
                exchange.send(response)
            except Exception as error:  # one connection's trouble must not keep the others' answers
                internal(error)
        self._under_way -= len(due)
        if not self._under_way:
            self._drained.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one ASGI scope: anything but a call."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._control(scope, receive, send)

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, now_ms = time.perf_counter_ns(), time.time_ns() // 1_000_000
        attempt_id = os.urandom(16).hex()
        state = scope.setdefault("state", {})
        state["attempt_id"], state["key_id"] = attempt_id, ""
        status = size = 0

        async def forward(message: MutableMapping[str, Any]) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                message["headers"] = [*others, (b"x-request-id", attempt_id.encode())]
            else:
                size += len(message.get("body", b""))
            await send(message)

        with contextlib.suppress(Exception):  # answered and logged by the app's own handler by now
            await self._api(scope, receive, forward)
        self._access_log.write(
            AccessRecord(
                time=now_ms,
                request_id=attempt_id,
                attempt_id=attempt_id,
                key_id=state["key_id"],
                method=scope["method"],
                path=scope["path"],
                model="",
                status=status,
                response_bytes=size,
                latency_ms=(time.perf_counter_ns() - began) // 1_000_000,
            )
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        refresher: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                refresher = asyncio.create_task(self._keep_models_fresh())
                _settle_garbage_collector()
                await send({"type": "lifespan.startup.complete"})
            else:
                if refresher is not None:
                    refresher.cancel()
                await self._drain()
                self._threads.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _drain(self) -> None:
        """Wait for the calls whose callers have gone: the others were answered by now."""
        while self._under_way:
            self._drained.clear()
            await self._drained.wait()

    async def _keep_models_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await asyncio.to_thread(self._models.refresh)
            except Exception as error:
                internal(error)


def _settle_garbage_collector() -> None:
    """Leave alone what was made at the start, and look for garbage less often.

    Calls leave no reference cycles; searching all that FastAPI and pydantic have made was a tenth of a call.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def _produced(exchange: Exchange, produce: Callable[[], Response]) -> Response:
    """What `produce` gives; should it raise, there is an answer all the same."""
    try:
        return produce()
    except Exception as error:
        return exchange.problem(internal(error))
