"""The API behind API Gateway: what an ASGI app has to be told of its event.

The gateway cuts the stage off the path; `root_path` is what it cut, so that /docs finds its own files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from fastapi import Request

from functions.access.keys import KeyRecord
from functions.calls.gateway import key_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class BehindGateway:
    """An ASGI app around another: ids and paths as the gateway has them, and a log line a request."""

    def __init__(self, app: ASGIApp, log: logging.Logger | Any) -> None:
        """`log` takes the fields of a line as `extra`."""
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request, with Mangum's event in its scope."""
        began, status = time.perf_counter(), 500
        context, path = scope["aws.event"]["requestContext"], scope["path"]
        attempt_id: str = context["extendedRequestId"]
        root = context["path"].removesuffix(path).rstrip("/")
        state = {"attempt_id": attempt_id, "key_id": ""}
        scope.update(root_path=root, path=root + path, state=state)

        async def forward(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                message["headers"] = [*others, (b"x-request-id", attempt_id.encode())]
            await send(message)

        with suppress(Exception):  # answered and logged by the app's own handler by now
            await self._app(scope, receive, forward)
        self._log.info(
            "request",
            extra={
                "status": status,
                "method": scope["method"],
                "path": path,
                "key_id": state["key_id"],
                "attempt_id": attempt_id,
                "request_id": context.get("requestId", ""),
                "total_us": int((time.perf_counter() - began) * 1_000_000),
            },
        )


def identify(find: Callable[[str], KeyRecord | None]) -> Callable[[Request], KeyRecord | None]:
    """What finds the caller's key: the gateway has let it in already, and names it by its own id."""
    return lambda request: find(key_of(request.scope["aws.event"]))
