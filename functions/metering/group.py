"""Group commit: one writer thread shares one commit among all entries that wait for it.

While a group is synced to the disk the next one gathers in the queue, so the more entries come at
once, the less each of them pays. Nothing is delayed to make a group larger. This file knows threads
and tickets; what an entry is and how a group is written is the ledger's.
"""

from __future__ import annotations

import logging
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from functions.metering.ledger import LedgerUnavailable, Outcome

MAX_GROUP = 64
RETRY_SECONDS = 1.0

Entry = TypeVar("Entry")
Result = Outcome | Exception | None
Notify = Callable[[Callable[[], None]], object]

log = logging.getLogger(__name__)


class GroupTicket(Generic[Entry]):
    """One entry on its way to the disk. Implements Ticket."""

    __slots__ = ("_callbacks", "_done", "_result", "_settled", "entry")

    def __init__(self, entry: Entry) -> None:
        """Wait for the writer."""
        self.entry = entry
        self._result: Result = None
        self._settled = False
        self._callbacks: list[Callable[[], None]] = []
        self._done = allocate_lock()
        self._done.acquire()

    def wait(self) -> Outcome | None:
        """Block until the entry is durable; None for an entry that has no outcome."""
        if not self._settled:
            with self._done:
                pass
        if isinstance(self._result, Exception):
            raise LedgerUnavailable(f"the usage row could not be written: {self._result}")
        return self._result

    def outcome(self) -> Outcome:
        """Block until the row is durable."""
        outcome = self.wait()
        assert outcome is not None
        return outcome

    def on_settled(self, callback: Callable[[], None]) -> None:
        """Run `callback` once: at once if the ticket is settled, else through the writer's `notify`."""
        self._callbacks.append(callback)
        if self._settled:
            self.run_callbacks()

    def settle(self, result: Result) -> None:
        """Let go of those who wait. Callbacks are run apart from this, for a whole group."""
        self._result = result
        self._settled = True
        self._done.release()

    def run_callbacks(self) -> None:
        """Run those not yet run; list.pop is atomic, so two threads never run one of them twice."""
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            try:
                callback()
            except Exception:  # must not reach the writer, nor the other tickets of the group
                log.exception("a callback of a ledger ticket failed")


class GroupWriter(Generic[Entry]):
    """Calls `write` with one group after the other, from a thread of its own.

    `write` gives a result per entry, where an exception stands for an entry that failed alone; if
    it raises, the whole group failed. While `pending` is true, it is also called with an empty
    group once a second. `notify` gets one function per group, which runs the callbacks of its tickets.
    `defer` gets the function that hands the writer what was submitted since the last time: an event
    loop runs it once a turn, so that the writer, which needs the GIL too, wakes once for all of it.
    """

    def __init__(
        self,
        write: Callable[[list[Entry]], Sequence[Result]],
        pending: Callable[[], bool],
        notify: Notify,
        defer: Notify = lambda run: run(),
    ) -> None:
        """Start the thread; it is a daemon, for a process may end without close() as it may be killed."""
        self._write = write
        self._pending = pending
        self._notify = notify
        self._defer = defer
        self._submitted: list[GroupTicket[Entry]] = []
        self._queue: SimpleQueue[list[GroupTicket[Entry]] | None] = SimpleQueue()
        self._waiting: list[GroupTicket[Entry]] = []  # taken from the queue; the writer's own
        self._ended = False
        self._gate = Lock()
        self._closed = False
        self._failed = 0
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> GroupTicket[Entry]:
        """Queue an entry; never blocks on the disk. After close() the ticket fails."""
        ticket = GroupTicket(entry)
        with self._gate:
            closed, first = self._closed, not self._submitted
            if not closed:
                self._submitted.append(ticket)
        if closed:
            ticket.settle(LedgerUnavailable("the ledger is closed"))
        elif first:
            try:
                self._defer(self._hand_over)
            except RuntimeError:  # a loop that is closed has no next turn
                self._hand_over()
        return ticket

    def close(self) -> None:
        """Write what is queued and stop."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._enqueue()
                self._queue.put(None)
        self._thread.join()

    def _hand_over(self) -> None:
        with self._gate:
            self._enqueue()

    def _enqueue(self) -> None:
        if self._submitted:
            self._queue.put(self._submitted)  # all at once: each put may wake the writer
            self._submitted = []

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._gather()
            results: Sequence[Result]
            try:
                results = self._write([ticket.entry for ticket in group])
                if self._failed:
                    log.warning("usage rows are written again; %d were not", self._failed)
                    self._failed = 0
            except Exception as error:
                if group and not self._failed:  # once, not with each group while the disk is full
                    log.error("usage rows can't be written: %s", error)
                self._failed += len(group)
                results = [error] * len(group)
            for ticket, result in zip(group, results, strict=True):
                ticket.settle(result)
            self._call_back(group)

    def _gather(self) -> tuple[list[GroupTicket[Entry]], bool]:
        """Wait for a ticket and take those queued behind it; False once there can be no more."""
        with suppress(Empty):
            while len(self._waiting) < MAX_GROUP and not self._ended:
                if self._waiting:
                    tickets = self._queue.get_nowait()
                else:
                    tickets = self._queue.get(timeout=RETRY_SECONDS if self._pending() else None)
                if tickets is None:
                    self._ended = True
                else:
                    self._waiting += tickets
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        return group, bool(self._waiting) or not self._ended

    def _call_back(self, group: list[GroupTicket[Entry]]) -> None:
        def run() -> None:
            for ticket in group:
                ticket.run_callbacks()

        try:
            self._notify(run)
        except Exception:  # such as a loop that is closed: whoever waits in outcome() knows already
            log.exception("the ledger could not notify")
