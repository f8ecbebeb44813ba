"""Terms: what a plan's limits make a row hold, as integers that functions/billing/holds.py compiled.

A plan's terms are a JSON list, one entry for each instant from which others are in force:

    since      milliseconds since 1970 UTC; a row is held by the terms of its own `started_at`
    wallet     the currency of the prepaid wallet that pays, if one does
    cap        the most that a month's calls may cost
    quota      the most calls in a month
    amounts    "model/kind" → [for a call, for each unit]; the model "*" is any other
    alert_at   at which percentages of cap and quota somebody wants to hear of it

The accounts: wallet#CUSTOMER#CURRENCY, cap#CUSTOMER#PLAN#MONTH and quota#CUSTOMER#PLAN#MONTH. What is
used of a limit is a balance below zero. Amounts of money are nanos: billionths of the currency's unit.
"""

from __future__ import annotations

from time import gmtime, strftime

from functions.metering.event import UsageEvent
from functions.metering.ledger import Hold, Holds
from models.strict_json import loads
from models.typed import Any

WALLET, CAP, QUOTA = "wallet", "cap", "quota"
CACHED = 1000

_parsed: dict[str, list[dict[str, Any]]] = {}


def holds_of(terms: str) -> Holds:
    """What rows hold by these terms."""
    return lambda row: held(terms, row)


def held(terms: str, row: UsageEvent, calls: int = 1) -> list[Hold]:
    """What one row holds, or one that stands for several calls, with the units of them all.

    KeyError if the terms have no amount for its model and kind.
    """
    term = in_force(terms, row.started_at)
    holds = []
    plan, month = row.plan.partition("@")[0], strftime("%Y-%m", gmtime(row.started_at // 1000))
    if quota := term.get(QUOTA):
        holds.append(Hold(limit_account(QUOTA, row.customer, plan, month), calls, -quota))
    if CAP in term or WALLET in term:
        amounts = term["amounts"]
        each = amounts.get(f"{row.model}/{row.kind}") or amounts[f"*/{row.kind}"]
        amount = each[0] * calls + each[1] * row.units
        if CAP in term:
            holds.append(Hold(limit_account(CAP, row.customer, plan, month), amount, -term[CAP]))
        if WALLET in term:
            holds.append(Hold(wallet_account(row.customer, term[WALLET]), amount))
    return holds


def in_force(terms: str, at_ms: int) -> dict[str, Any]:
    """The entry that is in force at an instant, {} if none is."""
    entries = _parsed.get(terms)
    if entries is None:
        if len(_parsed) >= CACHED:
            _parsed.clear()
        entries = _parsed[terms] = loads(terms) if terms else []
    found: dict[str, Any] = {}
    for entry in entries:
        if entry["since"] <= at_ms:
            found = entry
    return found


def amount_text(nanos: int) -> str:
    """An amount of money in whole units of its currency, exact: 2000000 is "0.002"."""
    whole, part = divmod(abs(nanos), 10**9)
    text = f"{whole}.{part:09}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text


def wallet_account(customer: str, currency: str) -> str:
    """The account of a customer's prepaid wallet."""
    return f"{WALLET}#{customer}#{currency}"


def limit_account(limit: str, customer: str, plan: str, month: str) -> str:
    """The account of what a month has used of a limit, CAP or QUOTA."""
    return f"{limit}#{customer}#{plan}#{month}"
