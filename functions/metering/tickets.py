"""Tickets of a group commit: each stands for one entry on its way to the disk."""

from __future__ import annotations

import logging
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from functions.metering.ledger import LedgerUnavailable, Outcome

Entry = TypeVar("Entry")
Result = Outcome | Exception | None

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


Tickets = list[GroupTicket[Entry]]


def settle(group: Tickets[Entry], results: Sequence[Result]) -> None:
    """Let go of those who wait, each with the result at its place."""
    for ticket, result in zip(group, results, strict=True):
        ticket.settle(result)


def run_callbacks(group: Tickets[Entry]) -> None:
    """Run what was left to be run then."""
    for ticket in group:
        ticket.run_callbacks()
