"""Limits: a caller's place in those that are ours to hold, and what a call over one of them is told.

Soft ones (throttle, quota) are held by whoever serves, hard ones by accounts of the ledger. In the cloud the
gateway holds the soft ones, so a function loads this file only for a call that an account can't bear.
"""

from __future__ import annotations

from functions.access.keys import KeyRecord
from functions.calls.dialect import Request
from functions.calls.problems import Problem
from functions.metering.event import LIVE, call_identity
from functions.metering.ledger import Insufficient, Ledger
from functions.metering.terms import QUOTA, WALLET, amount_text
from models.typed import Protocol, Sequence


class Verdict(Protocol):
    """What limits say of a call; functions/access/limits.py has the real one."""

    @property
    def allowed(self) -> bool:
        """Whether the call may go on."""

    @property
    def limit(self) -> str:
        """Which limit was hit: "throttle" or "quota"."""

    @property
    def retry_after(self) -> int:
        """Seconds until it is worth trying again."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Headers that tell the caller, allowed or not."""


class Limits(Protocol):
    """Throttle and quota, where they are ours to hold (in the cloud the gateway holds them)."""

    def admit(self, record: KeyRecord, now_ms: int, *, counts: bool) -> Verdict:
        """Throttle a request, and count it against its customer's quota if it `counts`."""

    def release(self, record: KeyRecord, admitted_at: int) -> None:
        """Give an unbilled call back to the quota."""


def admit(limits: Limits, record: KeyRecord, now_ms: int, *, counts: bool) -> dict[str, str]:
    """Take the caller's place and give the headers that say what is left; Problem if none is.

    What is never billed does not `count`: it is throttled like any other, but no quota is in its way.
    """
    verdict = limits.admit(record, now_ms, counts=counts)
    headers = dict(verdict.headers)
    if not verdict.allowed:
        if verdict.limit == "quota":
            raise Problem("quota-exceeded", "The plan's calls of this UTC month are used up.", headers)
        raise Problem("throttled", f"Wait {verdict.retry_after} s, then send calls more slowly.", headers)
    return headers


class Admission:
    """The way into the core where limits are ours to hold."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger

    def admit(self, request: Request, record: KeyRecord, *, counts: bool) -> tuple[dict[str, str], bool]:
        """As `admit`, and whether the quota has counted the call.

        A used-up quota is not in the way of a billed call's repetition, whose row tells that it is one.
        """
        try:
            return admit(self._limits, record, request.time_ms, counts=counts), counts
        except Problem as problem:
            key = request.headers.get("idempotency-key")
            if problem.kind != "quota-exceeded" or key is None:
                raise
            row = self._ledger.get(call_identity(record.customer, request.attempt_id, key))
            if row is None or row.state != LIVE:
                raise
            del problem.headers["retry-after"]
            return problem.headers, False


def unpaid(short: Insufficient, now_ms: int) -> Problem:
    """Say so to the customer, whose own account it is."""
    hold = short.hold
    kind, _, rest = hold.account.partition("#")
    if kind == WALLET:
        currency = rest.rpartition("#")[2]
        left, needed = amount_text(short.balance), amount_text(hold.amount)
        return Problem(
            "insufficient-balance",
            f"The call costs {needed} {currency}, the balance is {left} {currency}; it was not run. "
            "Top up, then send it again.",
            balance=left,
            needed=needed,
            currency=currency,
        )
    if kind == QUOTA:
        detail = "The plan's calls of this UTC month are used up."
        return Problem("quota-exceeded", detail, {"retry-after": str(_seconds_to_next_month(now_ms))})
    cap, left, needed = (
        amount_text(-hold.floor),
        amount_text(short.balance - hold.floor),
        amount_text(hold.amount),
    )
    return Problem(
        "spend-cap-reached",
        f"The call costs {needed}, of this UTC month's spend cap of {cap} there is {left} left; "
        "it was not run. The cap starts anew with the month.",
        {"retry-after": str(_seconds_to_next_month(now_ms))},
        cap=cap,
        left=left,
        needed=needed,
    )


def _seconds_to_next_month(now_ms: int) -> int:
    from calendar import timegm
    from time import gmtime

    now = gmtime(now_ms // 1000)
    turn = timegm((now.tm_year + now.tm_mon // 12, now.tm_mon % 12 + 1, 1, 0, 0, 0))
    return turn - now_ms // 1000
