"""Pricing: counted calls become amounts, by rules that anyone with the rows can repeat.

1. Calls are counted by plan version, model and kind.
2. Free calls go by time: a call is free if fewer calls than its plan version's `free_calls` were
   made before it, in this month, under a plan of the same name and currency. So every call's price is
   known once the calls before it are, and editing a plan in mid-month grants no second allowance.
3. A line's amount is (quantity - free) x unit price, exact, then rounded once to the currency's
   minor unit, halves away from zero. That is what a customer's calculator does, and it makes a
   credit the exact mirror of the charge. Rounding half to even would guard a long chain of roundings
   against drift; here there is no chain.
4. A total is the sum of rounded lines and is never rounded itself.
5. A monthly fee is charged once and in full for a plan that was used in the month or that a key was
   valid on: the fee of the version of the month's first call, without a call that of the version the
   key is on. A fee raised in mid-month so takes force with the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

from functions.billing.currencies import MINOR_UNIT
from functions.billing.plans import Plan
from functions.metering.event import UsageEvent

CALLS = "calls"
FEE = "monthly_fee"

# Wide enough for every product and sum to be exact: prices have at most 21 digits, counts 15.
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


class Line(NamedTuple):
    """One line of an invoice. `item` is "calls" or "monthly_fee"; a fee has no model and no kind."""

    item: str
    plan: str
    model: str
    kind: str
    quantity: int
    free: int
    unit_price: Decimal
    amount: Decimal

    @property
    def description(self) -> str:
        """The line in words."""
        plan = self.plan.partition("@")[0]
        return (
            f"{self.model}, {self.kind}, plan {plan}" if self.item == CALLS else f"monthly fee, plan {plan}"
        )


def round_amount(amount: Decimal, currency: str) -> Decimal:
    """Round to the currency's minor unit, halves away from zero."""
    return _EXACT.quantize(amount, MINOR_UNIT[currency])


def total(lines: Iterable[Line], currency: str) -> Decimal:
    """The exact sum of the lines' amounts."""
    summed = MINOR_UNIT[currency] * 0
    for line in lines:
        summed = _EXACT.add(summed, line.amount)
    return summed


class Tally:
    """One customer's month in one currency, counted row by row in the order of time."""

    def __init__(self, currency: str, plan_of: Callable[[str], Plan]) -> None:
        """Count for `currency`; `plan_of` gives the plan of a version that a row names."""
        self._currency = currency
        self._plan_of = plan_of
        self._counted: Counter[tuple[str, str, str]] = Counter()
        self._free: Counter[tuple[str, str, str]] = Counter()
        self._made: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, row: UsageEvent) -> None:
        """Count one live row."""
        plan = self._plan_of(row.plan)
        group = (row.plan, row.model, row.kind)
        self._counted[group] += 1
        if self._made[plan.name] < plan.free_calls:
            self._free[group] += 1
        self._made[plan.name] += 1
        self._first.setdefault(plan.name, row.plan)

    def hold(self, version: str) -> None:
        """Take in that a key was valid on this plan version, used or not; after the last row."""
        self._first.setdefault(self._plan_of(version).name, version)

    def lines(self) -> list[Line]:
        """The priced lines: fees first, then calls, each by plan version, model and kind."""
        fees = (self._fee(version) for version in sorted(self._first.values()))
        return [line for line in fees if line.amount] + [
            self._calls(*group) for group in sorted(self._counted)
        ]

    def _fee(self, version: str) -> Line:
        fee = self._plan_of(version).monthly_fee
        return Line(FEE, version, "", "", 1, 0, fee, round_amount(fee, self._currency))

    def _calls(self, version: str, model: str, kind: str) -> Line:
        quantity, free = self._counted[version, model, kind], self._free[version, model, kind]
        price = self._plan_of(version).price(model)
        amount = round_amount(_EXACT.multiply(Decimal(quantity - free), price), self._currency)
        return Line(CALLS, version, model, kind, quantity, free, price, amount)
