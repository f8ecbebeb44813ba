"""From a plan to the terms its calls are held by: what may be held, and how much.

What a wallet or a spend cap holds has to be known when the call comes. So a call must cost the same
whichever it is in its month: no tiers (volume or graduated), packages or free allowances. A wallet
pays a whole invoice, so a prepaid plan also charges nothing by the month: calls and their taxes, and that
is all. Any plan may have a hard quota.

A hold is in nanos (billionths of the currency's unit) and never less than what the call is charged: a
price that is finer, or a tax that makes it so, is rounded up, by less than a nano a call or unit. The
invoice rounds each line once; `functions/billing/wallet.py` settles the difference when it is closed.
"""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from functions.billing.amounts import EXACT, percent_of
from functions.billing.terms import KINDS, Price, nonsense

if TYPE_CHECKING:
    from functions.billing.plans import Plan

NANOS = 10**9
ANY = "*"


class HoldTerms(NamedTuple):
    """Terms for functions/metering/terms.py: of limits that hold, and of those that are counted."""

    holds: str
    counts: str


def compile_holds(plan: Plan) -> HoldTerms:
    """The plan's limits as integers; "" where there are none."""
    schedule = list(plan.schedule())
    return HoldTerms(
        _written([_entry(since, terms, hard=True) for since, terms in schedule]),
        _written([_entry(since, terms, hard=False) for since, terms in schedule]),
    )


def check_holdable(terms: Plan, where: tuple[str | int, ...]) -> None:
    """Refuse a wallet or a spend cap on what no call's price can be known for; `where` it comes in force."""
    if not terms.prepaid and terms.spend_cap is None:
        return
    limit = "a prepaid plan" if terms.prepaid else "a spend_cap"
    allowance = "which calls are free shows only as the month goes on"
    for name in ("free_calls", "free_units"):
        if getattr(terms, name):
            raise nonsense("hold", f"{limit} can't have {name}: {allowance}", *where, name)
    for number, price in enumerate(terms.prices):
        if price.tiers:
            said = f"what a call costs at {price.tiering} tiers depends on how many calls the month has"
            raise nonsense("hold", f"{limit} can't have tiers: {said}", *where, "prices", number, "tiers")
        if price.package > 1:
            said = "the first call of a package pays for all of it"
            raise nonsense(
                "hold", f"{limit} can't have packages: {said}", *where, "prices", number, "package"
            )
    if terms.prepaid:
        for name in ("monthly_fee", "surcharges", "minimum", "discount", "prepaid_credit"):
            if getattr(terms, name):
                said = (
                    f"a prepaid plan can't have {name}: its wallet pays calls and their taxes, as they come"
                )
                raise nonsense("hold", said, *where, name)


def nanos(amount: Decimal) -> int:
    """An amount in nanos; a finer one is rounded up."""
    return int(EXACT.multiply(amount, Decimal(NANOS)).to_integral_value(ROUND_CEILING))


def from_nanos(amount: int) -> Decimal:
    """Nanos as an amount in whole units, exact."""
    return EXACT.divide(Decimal(amount), Decimal(NANOS))


def _entry(since: int, terms: Plan, *, hard: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if terms.hard_limits == hard:
        if terms.quota:
            found["quota"] = terms.quota
        if terms.spend_cap is not None:
            found["cap"] = nanos(terms.spend_cap)
        if found:
            found["alert_at"] = list(terms.alert_at)
    if terms.prepaid and hard:
        found["wallet"] = terms.currency
    if "cap" in found or "wallet" in found:
        found["amounts"] = _amounts(terms)
    return {"since": since, **found}


def _amounts(terms: Plan) -> dict[str, list[int]]:
    models = {price.model for price in terms.all_prices()} - {None}
    found = {}
    for model in (*sorted(filter(None, models)), ANY):
        for kind in KINDS:
            if prices := terms.prices_of(model, kind):
                found[f"{model}/{kind}"] = [_amount(terms, prices, per) for per in ("call", "unit")]
    return found


def _amount(terms: Plan, prices: list[Price], per: str) -> int:
    price = sum((price.price or Decimal(0) for price in prices if price.per == per), Decimal(0))
    taxes = [percent_of(tax.percent, price) for tax in terms.taxes] if terms.prepaid else []
    return nanos(sum(taxes, price))


def _written(entries: list[dict[str, Any]]) -> str:
    if all(entry.keys() == {"since"} for entry in entries):
        return ""
    return json.dumps(entries, separators=(",", ":"), sort_keys=True)
