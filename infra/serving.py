"""The local server, put together from a state folder and service.toml, and run until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from threading import get_ident
from types import FrameType

import uvicorn
import uvloop

from functions.access.keys import find_presented
from functions.access.limits import Limits
from functions.api.app import create_app
from functions.api.context import Context
from functions.calls.core import Calls
from functions.customers.sqlite import UnknownCustomer
from functions.local.connection import CallProtocol
from functions.local.models import ServedModels
from functions.local.notifier import Notifier
from functions.local.server import LocalServer
from functions.metering.accesslog import AccessLog
from functions.metering.proofs import Proofs
from functions.metering.sqlite import SqliteLedger
from functions.metering.usage import UsageReader, month_span
from functions.settings import VERSION
from infra.plans import publish_plans
from infra.sealing import keep_sealed
from infra.service import Settings
from infra.workspace import Workspace

GRACE_SECONDS = 30


class PortTaken(OSError):
    """Something else listens there."""


def serve(
    workspace: Workspace,
    settings: Settings,
    host: str,
    port: int,
    on_started: Callable[[str, ServedModels], None],
) -> None:
    """Serve until SIGINT or SIGTERM; what was accepted by then is answered and on the disk.

    `port` 0 takes a free one. `on_started` gets the base URL once calls are answered.
    PortTaken if the port is in use; UnusableDatabase where a state file can't be opened.
    """
    listening = _listen(host, port)
    publish_plans(settings, workspace)
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve(workspace, settings, listening, on_started))


async def _serve(
    workspace: Workspace,
    settings: Settings,
    listening: socket.socket,
    on_started: Callable[[str, ServedModels], None],
) -> None:
    loop = asyncio.get_running_loop()
    models = ServedModels(workspace.registry(), settings.models.serve)
    models.refresh()
    with contextlib.ExitStack() as stack:
        ledger = SqliteLedger(
            str(workspace.ledger_file), notify=loop.call_soon_threadsafe, defer=_soon(loop), in_turn=True
        )
        stack.callback(ledger.close)
        keys = stack.enter_context(contextlib.closing(workspace.keys()))
        usage = stack.enter_context(contextlib.closing(workspace.usage()))
        accounts = stack.enter_context(contextlib.closing(workspace.accounts()))
        access_log = stack.enter_context(contextlib.closing(AccessLog(workspace.access_log)))
        limits = Limits(lambda customer, plan, month: _calls_so_far(usage, customer, plan, month))
        api = create_app(
            Context(
                identify=lambda request: find_presented(request.headers, keys),
                keys_of=keys.list,
                catalog=models,
                usage=usage,
                proofs=Proofs(workspace.seals(), ledger.get),
                accounts=accounts,
                book=workspace.plan_book(),
                limits=limits,
                now_ms=lambda: time.time_ns() // 1_000_000,
                version=VERSION,
                books=workspace.books(settings.service.name),
                name_of=lambda customer: _name_of(workspace, customer),
            )
        )
        outbox = stack.enter_context(contextlib.closing(workspace.outbox()))
        notifier = Notifier(outbox, workspace.vault(), accounts, usage, keys.plans)
        notifier.start()
        stack.callback(notifier.close)
        calls = Calls(models, ledger, limits)
        app = LocalServer(calls, models, keys, api, access_log)
        config = uvicorn.Config(
            app,
            http=CallProtocol,
            ws="none",
            access_log=False,
            server_header=False,
            log_config=None,
            log_level=logging.WARNING,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        host, port = listening.getsockname()[:2]
        sealing = loop.create_task(keep_sealed(workspace))
        try:
            await _Server(config, lambda: on_started(f"http://{host}:{port}", models)).serve([listening])
        finally:
            sealing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sealing


def _soon(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], object]:
    """The loop's `call_soon` for any thread; its own, which is where calls come from, need not wake it."""
    own = get_ident()

    def soon(run: Callable[[], None]) -> object:
        return loop.call_soon(run) if get_ident() == own else loop.call_soon_threadsafe(run)

    return soon


class _Server(uvicorn.Server):
    """uvicorn's server, which here returns after a signal; its own would end the process first."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop accepting at the first signal; a second one ends at once what is still open."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the loop, which is where handle_exit runs then."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"{host}:{port} can't be listened on: {error.strerror}; choose another --port"
        ) from None
    return listening


def _calls_so_far(usage: UsageReader, customer: str, plan: str, month: str) -> int:
    start, end = month_span(month)
    buckets = usage.buckets(start, end, customer)
    return sum(bucket.calls for bucket in buckets if bucket.plan.partition("@")[0] == plan)


def _name_of(workspace: Workspace, customer: str) -> str:
    """For an invoice; "" of one who was erased."""
    try:
        return workspace.customers().get(customer).name
    except UnknownCustomer:
        return ""
