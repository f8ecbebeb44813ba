"""The local server: API Gateway, Lambda and control plane in one asyncio process.

Calls take a lane of their own in front of FastAPI, straight to the predict core. While a call's
row waits for its commit, the event loop takes the next calls, whose rows join the next commit: the
more callers, the fewer syncs to the disk a call. Long bodies and slow models go to threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.access.keys import KeyFinder, KeyRecord, LookupUnavailable, find_presented
from functions.calls.core import MAX_BODY, Call, Calls, access_unavailable
from functions.calls.dialect import Request
from functions.calls.problems import Problem, Response
from functions.calls.routes import route
from functions.local.models import ServedModels
from functions.metering.accesslog import AccessLog, AccessRecord

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("payphone.server")

INLINE_BYTES = 32 * 1024  # parsing more than this would hold the other callers up
INLINE_MICROSECONDS = 5_000  # so would inference that takes longer
REFRESH_SECONDS = 1.0


class LocalServer:
    """The ASGI application. It owns nothing: whoever wires it closes the ledger once it has stopped."""

    def __init__(
        self, calls: Calls, models: ServedModels, keys: KeyFinder, api: ASGIApp, access_log: AccessLog
    ) -> None:
        self._calls = calls
        self._models = models
        self._keys = keys
        self._api = api
        self._access_log = access_log
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="call")
        self._slow: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            way = route(scope["path"])
            if way is None:
                await self._control(scope, receive, send)
            else:
                await self._call(scope, receive, send, way.model)

    async def _call(self, scope: Scope, receive: Receive, send: Send, model: str) -> None:
        began, now_ms = time.perf_counter_ns(), time.time_ns() // 1_000_000
        attempt_id = os.urandom(16).hex()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        record: KeyRecord | None = None
        try:
            body = await _read(receive, headers.get("content-length"))
            record = find_presented(headers, self._keys)
            request = Request(scope["method"], scope["path"], headers, body, attempt_id, now_ms)
            response = await self._answer(request, record, model)
        except Problem as problem:
            response = problem.response(attempt_id, v2=scope["path"].startswith("/v2"))
        except LookupUnavailable:
            response = access_unavailable().response(attempt_id, v2=scope["path"].startswith("/v2"))
        except _Gone:
            return
        await _send(send, response)
        key_id = record.key_id if record else ""
        self._write_log(scope, attempt_id, key_id, model, response.status, len(response.body), now_ms, began)

    async def _answer(self, request: Request, record: KeyRecord | None, model: str) -> Response:
        loop = asyncio.get_running_loop()
        if len(request.body) > INLINE_BYTES or model in self._slow:
            return await loop.run_in_executor(self._threads, self._calls.answer, request, record)
        call = self._calls.accept(request, record)
        if isinstance(call, Response):
            return call
        call.run()
        if call.inference_us > INLINE_MICROSECONDS:
            self._slow.add(model)
        await _settled(call)
        if call.failed:  # it has to be voided, which waits for a commit of its own
            return await loop.run_in_executor(self._threads, call.finish)
        return call.finish()

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
        self._write_log(scope, attempt_id, state["key_id"], "", status, size, now_ms, began)

    def _write_log(
        self,
        scope: Scope,
        attempt_id: str,
        key_id: str,
        model: str,
        status: int,
        size: int,
        now_ms: int,
        began: int,
    ) -> None:
        self._access_log.write(
            AccessRecord(
                time=now_ms,
                request_id=attempt_id,
                attempt_id=attempt_id,
                key_id=key_id,
                method=scope["method"],
                path=scope["path"],
                model=model,
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
                await send({"type": "lifespan.startup.complete"})
            else:
                if refresher is not None:
                    refresher.cancel()
                self._threads.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _keep_models_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await asyncio.to_thread(self._models.refresh)
            except OSError as error:
                log.error("the registry could not be read: %s", error)


class _Gone(Exception):
    """The client went away before its request was complete."""


async def _read(receive: Receive, content_length: str | None) -> bytes:
    if content_length is not None and content_length.isdigit() and int(content_length[:12]) > MAX_BODY:
        raise _too_large()
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
        if not message.get("more_body"):
            return body


def _too_large() -> Problem:
    return Problem("request-too-large", f"At most {MAX_BODY:,} bytes were expected.", {"connection": "close"})


async def _settled(call: Call) -> None:
    """Wait for the row; the ledger's `notify` brings its callbacks into this loop, a group at a time."""
    settled = asyncio.Event()
    call.ticket.on_settled(settled.set)
    await settled.wait()


async def _send(send: Send, response: Response) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
