"""Bills: a customer's month in one currency, from priced calls to what there is to pay.

For each plan, in this order: the monthly fee and the calls; surcharges on the calls; less the
discount; up to the minimum; less prepaid credit; plus taxes on what is left. Each step's amount is
rounded once, by the rule of pricing.py. On a prepaid plan all that comes to was paid from the wallet.

What is charged by the month goes by the terms of the month's first call on the plan or, if there
was none, by those in force when a key on the plan was first valid in the month. A fee that is
raised in mid-month so takes force with the next one. Late calls of a month that is closed already
are charged by their own terms; discount and taxes are those of the month they are billed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from functions.billing.amounts import add_up, decimal_text, percent_of, round_amount
from functions.billing.plans import Plan
from functions.billing.pricing import FEE, MINIMUM, SURCHARGE, Line, Tally, Terms


class Extra(NamedTuple):
    """A discount, a used credit or a tax: never negative. `plan` is the version whose terms say so."""

    plan: str
    description: str
    amount: Decimal


class Bill(NamedTuple):
    """What a month costs. The total is subtotal - discounts - credits + taxes."""

    currency: str
    lines: tuple[Line, ...]
    discounts: tuple[Extra, ...] = ()
    credits: tuple[Extra, ...] = ()
    taxes: tuple[Extra, ...] = ()

    @property
    def subtotal(self) -> Decimal:
        """The sum of the lines."""
        return add_up([line.amount for line in self.lines], self.currency)

    @property
    def total(self) -> Decimal:
        """What there is to pay, in major units; never negative."""
        off = [-extra.amount for extra in (*self.discounts, *self.credits)]
        return add_up([self.subtotal, *off, *(tax.amount for tax in self.taxes)], self.currency)


def make_bill(tally: Tally, late: Iterable[Line] = (), used: Mapping[str, Decimal] | None = None) -> Bill:
    """Bill what was counted. `late` are lines of closed months, `used` is spent credit by plan name."""
    calls = [*late, *tally.usage_lines()]
    first = {**_first_late(tally, calls), **tally.first}
    ordered = sorted(first.values(), key=lambda terms: (terms.version, terms.since))
    accounts = [
        _Account(
            tally.currency,
            terms,
            [line for line in calls if line.plan.partition("@")[0] == terms.plan.name],
            whole=terms.plan.name in tally.first,
            used=(used or {}).get(terms.plan.name, Decimal(0)),
        )
        for terms in ordered
    ]
    return Bill(
        tally.currency,
        (
            *(line for account in accounts for line in account.fees),
            *calls,
            *(line for account in accounts for line in account.surcharges + account.minimums),
        ),
        tuple(extra for account in accounts for extra in account.discounts),
        tuple(extra for account in accounts for extra in account.credits),
        tuple(extra for account in accounts for extra in account.taxes),
    )


def _first_late(tally: Tally, calls: Iterable[Line]) -> dict[str, Terms]:
    """Terms of plans that only late calls were made on."""
    found: dict[str, Terms] = {}
    for line in calls:
        terms = tally.terms(line.plan, line.since)
        found.setdefault(terms.plan.name, terms)
    return found


class _Account:
    """One plan's part of a bill."""

    def __init__(self, currency: str, terms: Terms, calls: list[Line], *, whole: bool, used: Decimal) -> None:
        self._currency = currency
        self._terms = terms
        plan = terms.plan
        usage = self._sum(line.amount for line in calls)
        self.fees = self._fee(plan) if whole else []
        self.surcharges = self._surcharges(plan, usage) if whole else []
        charged = self._sum([usage, *(line.amount for line in self.fees + self.surcharges)])
        self.discounts = self._discount(plan, charged)
        net = self._sum([charged, *(-extra.amount for extra in self.discounts)])
        self.minimums = self._minimum(plan, net) if whole else []
        net = self._sum([net, *(line.amount for line in self.minimums)])
        self.credits = self._credit(plan, net, used)
        net = self._sum([net, *(-extra.amount for extra in self.credits)])
        self.taxes = self._taxes(plan, net)
        if plan.prepaid:
            due = self._sum([net, *(extra.amount for extra in self.taxes)])
            self.credits += self._extra(f"paid from the wallet, plan {plan.name}", due)

    def _sum(self, amounts: Iterable[Decimal]) -> Decimal:
        return add_up([*amounts], self._currency)

    def _line(self, item: str, amount: Decimal, name: str = "") -> Line:
        rounded = round_amount(amount, self._currency)
        return Line(
            item, self._terms.version, "", "", 1, 0, amount, rounded, since=self._terms.since, name=name
        )

    def _extra(self, description: str, amount: Decimal) -> list[Extra]:
        rounded = round_amount(amount, self._currency)
        return [Extra(self._terms.version, description, rounded)] if rounded else []

    def _fee(self, plan: Plan) -> list[Line]:
        return [self._line(FEE, plan.monthly_fee)] if plan.monthly_fee else []

    def _surcharges(self, plan: Plan, usage: Decimal) -> list[Line]:
        lines = []
        for surcharge in plan.surcharges:
            asked = self._sum([percent_of(surcharge.percent, usage), surcharge.fixed])
            name = f"{surcharge.name}, {decimal_text(surcharge.percent)}% of calls"
            lines.append(self._line(SURCHARGE, max(asked, surcharge.minimum), name))
        return [line for line in lines if line.amount]

    def _minimum(self, plan: Plan, net: Decimal) -> list[Line]:
        lacking = self._sum([plan.minimum, -net])
        return [self._line(MINIMUM, lacking, "up to the monthly minimum")] if lacking > 0 else []

    def _discount(self, plan: Plan, charged: Decimal) -> list[Extra]:
        if plan.discount is None:
            return []
        if plan.discount.percent is not None:
            percent = plan.discount.percent
            said = f"discount of {decimal_text(percent)}%, plan {plan.name}"
            return self._extra(said, percent_of(percent, charged))
        amount = plan.discount.amount or Decimal(0)
        return self._extra(f"discount, plan {plan.name}", min(amount, charged))

    def _credit(self, plan: Plan, net: Decimal, used: Decimal) -> list[Extra]:
        left = max(Decimal(0), plan.prepaid_credit - used)
        return self._extra(f"prepaid credit, plan {plan.name}", min(left, net))

    def _taxes(self, plan: Plan, net: Decimal) -> list[Extra]:
        named = ((f"{tax.name}, {decimal_text(tax.percent)}%", tax.percent) for tax in plan.taxes)
        return [extra for name, percent in named for extra in self._extra(name, percent_of(percent, net))]
