"""Invoices: a customer's month as one document, computed from ledger rows and from nothing else.

A draft can be computed again at any time and comes out the same while the rows are the same. It
names how many rows it was made of and their SHA-256, so that whoever has the rows can check it.
A month is UTC and half-open. An invoice has one currency: a customer with plans in two gets two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from functions.access.keys import KeyRecord
from functions.billing.plans import Plan, PlanBook, decimal_text
from functions.billing.pricing import CALLS, Line, Tally, total
from functions.metering.canonical import canonical_row
from functions.metering.event import UsageEvent
from functions.metering.usage import UsageReader, month_span

DRAFT = "draft"


class Invoice(NamedTuple):
    """One customer's month in one currency. `rows_sha256` covers the `calls` rows it bills."""

    status: str
    customer: str
    month: str
    currency: str
    lines: tuple[Line, ...]
    calls: int
    rows_sha256: str

    @property
    def total(self) -> Decimal:
        """What there is to pay, in major units: the exact sum of the lines."""
        return total(self.lines, self.currency)

    def document(self) -> dict[str, Any]:
        """The invoice for JSON; money is strings, amounts with the currency's own decimals."""
        return {
            "status": self.status,
            "customer": self.customer,
            "month": self.month,
            "currency": self.currency,
            "lines": [_line_document(line) for line in self.lines],
            "total": format(self.total, "f"),
            "plans": sorted({line.plan for line in self.lines}),
            "rows": {"count": self.calls, "sha256": self.rows_sha256},
        }


def draft_invoices(
    month: str,
    usage: UsageReader,
    book: PlanBook,
    held: Mapping[str, Iterable[str]],
    customer: str | None = None,
) -> list[Invoice]:
    """Compute the invoices of a month ("2026-11"), of one customer or of all, by customer and currency.

    `held` are the plan versions that each customer's keys were valid on (see `plans_held`). A
    customer who owes no fee and made no call gets no invoice. ValueError where rows come doubled or
    out of order, UnknownPlan where one names a plan version that is not in the book.
    """
    plan_of = cache(book.get)
    drafts: dict[tuple[str, str], _Draft] = {}

    def draft_of(payer: str, version: str) -> _Draft:
        currency = plan_of(version).currency
        if (payer, currency) not in drafts:
            drafts[payer, currency] = _Draft(currency, plan_of)
        return drafts[payer, currency]

    for row in usage.rows(*month_span(month), customer):
        draft_of(row.customer, row.plan).add(row)
    for holder in held if customer is None else {customer} & held.keys():
        for version in sorted(held[holder]):
            draft_of(holder, version).tally.hold(version)
    invoices = [drafts[of].invoice(month, *of) for of in sorted(drafts)]
    return [invoice for invoice in invoices if invoice.lines]


def plans_held(keys: Iterable[KeyRecord], month: str) -> dict[str, set[str]]:
    """The plan versions that keys were valid on at some instant of the month, by customer."""
    start, end = month_span(month)
    held: dict[str, set[str]] = {}
    for key in keys:
        ends = [instant for instant in (key.revoked_at, key.expires_at) if instant]
        if key.created_at < end and min(ends, default=end) > start:
            held.setdefault(key.customer, set()).add(key.plan.version)
    return held


class _Draft:
    """A tally and the running hash of the rows that went into it."""

    def __init__(self, currency: str, plan_of: Callable[[str], Plan]) -> None:
        self.tally = Tally(currency, plan_of)
        self._digest = sha256()
        self._rows = 0
        self._last = (0, "")

    def add(self, row: UsageEvent) -> None:
        if (row.started_at, row.call_id) <= self._last:
            raise ValueError(
                f"ledger rows come doubled or out of order at call {row.call_id}: nothing is billed"
            )
        self._last = (row.started_at, row.call_id)
        self._digest.update(canonical_row(row))
        self._rows += 1
        self.tally.add(row)

    def invoice(self, month: str, customer: str, currency: str) -> Invoice:
        lines = tuple(self.tally.lines())
        return Invoice(DRAFT, customer, month, currency, lines, self._rows, self._digest.hexdigest())


def _line_document(line: Line) -> dict[str, Any]:
    what = {"model": line.model, "kind": line.kind} if line.item == CALLS else {}
    return {
        "description": line.description,
        "item": line.item,
        "plan": line.plan,
        **what,
        "quantity": line.quantity,
        "free": line.free,
        "unit_price": decimal_text(line.unit_price),
        "amount": format(line.amount, "f"),
    }
