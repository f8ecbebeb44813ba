"""The refusal of a call that an account can't bear: which limit it is, and what is left of it."""

from __future__ import annotations

from functions.calls.problems import Problem
from functions.metering.ledger import Insufficient
from functions.metering.terms import QUOTA, WALLET, amount_text


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
