"""What the local server does beside answering: looks for alerts, and delivers webhooks.

A thread of its own, every few seconds; so a soft limit's alert lags by that much. Nothing a receiver does
can hold a call up. Without an endpoint it does nothing at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import chain
from threading import Event, Thread

from functions.access.keys import Plan
from functions.metering.accounts import Accounts
from functions.metering.terms import CAP, QUOTA
from functions.metering.usage import UsageReader, month_of, month_span
from functions.webhooks.alerts import alerts, announce, counted, used_of
from functions.webhooks.delivery import Courier
from functions.webhooks.outbox import Outbox, Vault

EVERY_SECONDS = 5.0
STOP_SECONDS = 3.0  # what is sent and not recorded by then is sent again, under the same id

log = logging.getLogger("payphone.webhooks")


class Notifier:
    """Runs until it is closed. What is in the outbox then goes out when the next one runs."""

    def __init__(
        self,
        outbox: Outbox,
        vault: Vault,
        accounts: Accounts,
        usage: UsageReader,
        plans: Callable[[], Sequence[Plan]],
    ) -> None:
        self._outbox, self._accounts, self._usage, self._plans = outbox, accounts, usage, plans
        self._courier = Courier(outbox, vault)
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="notifier", daemon=True)

    def start(self) -> None:
        """Run in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop; waits a little for what is being sent."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def look(self, now_ms: int) -> None:
        """Do all there is to do, once."""
        if not self._outbox.endpoints():
            return
        plans = self._plans()
        month = month_of(now_ms)
        balances = chain(*(self._accounts.balances(f"{limit}#") for limit in (QUOTA, CAP)))
        used = [used_of(account, balance) for account, balance in balances if account.endswith(f"#{month}")]
        if any(plan.counts for plan in plans):
            used += counted(self._usage.buckets(*month_span(month)), plans)
        announce(alerts(used, plans, now_ms), self._outbox)
        self._courier.send_due(now_ms)

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                self.look(time.time_ns() // 1_000_000)
            except Exception:
                log.exception("webhooks could not be looked after; they wait")
