"""Group commit: all entries that wait for the disk at one time share one commit.

While a group is synced the next one gathers, so the more entries come at once, the less each of them pays.
A thread writes the groups; an event loop may write its own as long as the disk is quick. A thread beside
a busy loop has to fight for the GIL, and both pay: on two idle cores that was a third of a call's CPU time.
What would hold the loop up (a slow disk, another process that is writing) is still the thread's.

This file knows threads and tickets; what an entry is and how a group is written is the ledger's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import perf_counter_ns
from typing import Generic

from functions.metering.ledger import LedgerUnavailable
from functions.metering.tickets import Entry, GroupTicket, Result, Tickets, run_callbacks, settle

MAX_GROUP = 64
RETRY_SECONDS = 1.0
GATHER_NS = 1_000_000  # at most, until a loop writes what it has though more comes
# What a commit may take a loop, on average over PACE_GROUPS: as much as a model, but less where more than one
# group waits, for then the thread gains the time that the disk takes.
QUICK_NS = 5_000_000
OVERLAP_NS = 2_000_000
PACE_GROUPS = 16
# For how long the thread has all groups if it takes more, twice as long each time until one is quick again.
AVOID_NS = 1_000_000_000
MAX_AVOID_NS = 64_000_000_000

Notify = Callable[[Callable[[], None]], object]
Write = Callable[[list[Entry]], Sequence[Result]]

log = logging.getLogger(__name__)


class GroupWriter(Generic[Entry]):
    """Calls `write` with one group after the other, from a thread of its own.

    `write` gives a result per entry, where an exception stands for an entry that failed alone; if
    it raises, the whole group failed. While `pending` is true, it is also called with an empty
    group once a second. `notify` gets one function per group, which runs the callbacks of its tickets.
    `defer` gets the function that takes what was submitted since the last time: an event loop runs it
    once a turn. It wakes the thread once for all of it or, given `attempt`, first calls that: it is like
    `write`, but raises BlockingIOError, with nothing written, where it would wait for another process.
    """

    def __init__(
        self,
        write: Write[Entry],
        pending: Callable[[], bool],
        notify: Notify,
        defer: Notify = lambda run: run(),
        attempt: Write[Entry] | None = None,
    ) -> None:
        """Start the thread; it is a daemon, for a process may end without close() as it may be killed."""
        self._write = write
        self._pending = pending
        self._notify = notify
        self._defer = defer
        self._attempt = attempt
        self._submitted: Tickets[Entry] = []
        self._seen = self._since = 0  # of what is submitted: how many last turn, and when it began
        self._pace = 0.0  # nanoseconds an attempt takes
        self._avoid, self._avoid_until = AVOID_NS, 0
        self._queue: SimpleQueue[Tickets[Entry] | None] = SimpleQueue()
        self._waiting: Tickets[Entry] = []  # taken from the queue; the writer's own
        self._ended = False
        self._gate = Lock()
        self._closed = False
        self._writing = Lock()
        self._failed = 0
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> GroupTicket[Entry]:
        """Take an entry; never blocks on the disk. After close() the ticket fails."""
        ticket = GroupTicket(entry)
        with self._gate:
            closed, first = self._closed, not self._submitted
            if not closed:
                self._submitted.append(ticket)
        if closed:
            ticket.settle(LedgerUnavailable("the ledger is closed"))
        elif first:
            self._next_turn()
        return ticket

    def close(self) -> None:
        """Write what is queued and stop."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._enqueue()
                self._queue.put(None)
        self._thread.join()
        with self._writing:  # an attempt is another thread's
            pass

    def _next_turn(self) -> None:
        try:
            self._defer(self._end_turn)
        except RuntimeError:  # a loop that is closed has no next turn
            with self._gate:
                self._enqueue()

    def _end_turn(self) -> None:
        group: Tickets[Entry] = []
        with self._gate:
            if self._attempt is None or not self._more_comes():
                if self._may_attempt():
                    group, self._submitted = self._submitted[:MAX_GROUP], self._submitted[MAX_GROUP:]
                else:
                    self._enqueue()
            left = bool(self._submitted)
        if left:
            self._next_turn()
        if group:
            self._write_here(group, OVERLAP_NS if left else QUICK_NS)

    def _more_comes(self) -> bool:
        """Whether this turn brought more, and there is time to see what the next one brings."""
        count, seen, now = len(self._submitted), self._seen, perf_counter_ns()
        if not seen:
            self._since = now
        more = seen < count < MAX_GROUP and now - self._since < GATHER_NS
        self._seen = count if more else 0
        return more

    def _may_attempt(self) -> bool:
        """Whether it is for this thread to write; then it holds `_writing`."""
        if self._attempt is None or not self._submitted or not self._queue.empty():
            return False
        return perf_counter_ns() >= self._avoid_until and self._writing.acquire(blocking=False)

    def _write_here(self, group: Tickets[Entry], limit: int) -> None:
        assert self._attempt is not None
        results, began = None, perf_counter_ns()
        with suppress(BlockingIOError):
            results = self._results(self._attempt, group)
        self._writing.release()
        ended = perf_counter_ns()
        took = ended - began
        self._pace += (took - self._pace) / PACE_GROUPS
        if results is None:
            self._avoid_until = ended + AVOID_NS
        elif min(took, self._pace) > limit:
            self._avoid_until = ended + self._avoid
            self._avoid = min(2 * self._avoid, MAX_AVOID_NS)
        else:
            self._avoid = AVOID_NS
        with self._gate:
            if results is None and not self._closed:
                self._queue.put(group)
                return
            if self._pending():
                self._queue.put([])  # the thread is to try again
        settle(group, results or [LedgerUnavailable("the ledger is closed")] * len(group))
        run_callbacks(group)

    def _enqueue(self) -> None:
        if self._submitted:
            self._queue.put(self._submitted)  # all at once: each put may wake the writer
            self._submitted = []

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._gather()
            with self._writing:
                results = self._results(self._write, group)
            settle(group, results)
            try:
                self._notify(partial(run_callbacks, group))
            except Exception:  # such as a loop that is closed: whoever waits in outcome() knows already
                log.exception("the ledger could not notify")

    def _gather(self) -> tuple[Tickets[Entry], bool]:
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

    def _results(self, write: Write[Entry], group: Tickets[Entry]) -> Sequence[Result]:
        """Write a group: the result of each of its entries, whatever happens."""
        try:
            results = write([ticket.entry for ticket in group])
            if self._failed:
                log.warning("usage rows are written again; %d were not", self._failed)
                self._failed = 0
        except Exception as error:
            if write is self._attempt and isinstance(error, BlockingIOError):
                raise
            if group and not self._failed:  # once, not with each group while the disk is full
                log.error("usage rows can't be written: %s", error)
            self._failed += len(group)
            return [error] * len(group)
        return results
