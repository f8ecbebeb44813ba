"""Invoices: a customer's month as one document, computed from ledger rows and from nothing else.

A draft can be computed again at any time and comes out the same while the rows are the same. It
names how many rows it was made of and their SHA-256, so that whoever has the rows can check it.
A month is UTC and half-open. An invoice has one currency: a customer with plans in two gets two.

Rows of a closed month that no invoice has yet are late: they come as lines of their own, priced as
what came after the calls of their month that were billed in time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, Protocol

from functions.access.keys import KeyRecord
from functions.billing.bills import Bill, make_bill
from functions.billing.documents import bill_document
from functions.billing.plans import Plan, PlanBook
from functions.billing.pricing import Line, Tally
from functions.billing.rows import RowsHash
from functions.metering.event import UsageEvent
from functions.metering.usage import UsageReader, month_of, month_span

DRAFT = "draft"

Held = Mapping[str, int]
"""Plan versions that a customer's keys were valid on in a month, each with since when, in milliseconds."""


class Past(Protocol):
    """What closed invoices say; functions/billing/books.py has the real one."""

    def late_months(self, month: str) -> list[str]:
        """The closed months before `month` whose late rows belong to it, oldest first."""

    def settled(self, month: str, customer: str) -> Collection[str]:
        """The calls of a closed month that need no invoice any more."""

    def billed(self, month: str, customer: str) -> Iterable[UsageEvent]:
        """The rows of a month that are on an invoice, in the order they were billed."""

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """Prepaid credit that was spent so far, by plan name."""


class Nothing:
    """A past without invoices."""

    def late_months(self, month: str) -> list[str]:
        """None."""
        return []

    def settled(self, month: str, customer: str) -> Collection[str]:
        """None."""
        return ()

    def billed(self, month: str, customer: str) -> Iterable[UsageEvent]:
        """None."""
        return ()

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """None."""
        return {}


class Invoice(NamedTuple):
    """One customer's month in one currency. `rows_sha256` covers the `calls` rows it bills."""

    status: str
    customer: str
    month: str
    bill: Bill
    calls: int
    rows_sha256: str
    held: Held
    rows: bytes = b""

    @property
    def currency(self) -> str:
        """ISO 4217."""
        return self.bill.currency

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is charged, line by line."""
        return self.bill.lines

    @property
    def total(self) -> Decimal:
        """What there is to pay, in major units."""
        return self.bill.total

    def document(self) -> dict[str, Any]:
        """The invoice for JSON; money is strings, amounts with the currency's own decimals."""
        return {
            "status": self.status,
            "customer": self.customer,
            "month": self.month,
            **bill_document(self.bill),
            "plans": sorted({line.plan for line in self.lines}),
            "rows": {"count": self.calls, "sha256": self.rows_sha256},
        }


def draft_invoices(
    month: str,
    usage: UsageReader,
    book: PlanBook,
    held: Mapping[str, Held],
    customer: str | None = None,
    *,
    past: Past | None = None,
    without: Collection[str] = (),
    keep_rows: bool = False,
) -> list[Invoice]:
    """Compute the invoices of a month ("2026-11"), of one customer or of all, by customer and currency.

    `held` are the plan versions that each customer's keys were valid on (see `plans_held`). A
    customer who owes no fee and made no call gets no invoice. Calls in `without` are left out.
    ValueError where rows come doubled or out of order, UnknownPlan where one names a plan version
    that is not in the book, Unpriced where a plan has no price for a call.
    """
    past = past or Nothing()
    plan_of = cache(book.get)
    drafts: dict[tuple[str, str], Draft] = {}

    def draft_of(payer: str, version: str) -> Draft:
        of = (payer, plan_of(version).currency)
        if of not in drafts:
            drafts[of] = Draft(month, *of, plan_of, past, keep_rows=keep_rows)
        return drafts[of]

    for late in past.late_months(month):
        settled = cache(lambda payer, late=late: past.settled(late, payer))
        for row in usage.rows(*month_span(late), customer):
            if row.call_id not in without and row.call_id not in settled(row.customer):
                draft_of(row.customer, row.plan).add(row)
    for row in usage.rows(*month_span(month), customer):
        if row.call_id not in without:
            draft_of(row.customer, row.plan).add(row)
    for holder in held if customer is None else {customer} & held.keys():
        for version in sorted(held[holder]):
            draft_of(holder, version).hold(version, held[holder][version])
    invoices = [drafts[of].invoice() for of in sorted(drafts)]
    return [invoice for invoice in invoices if invoice.lines]


def plans_held(
    keys: Iterable[KeyRecord], month: str, in_force: Callable[[str], list[tuple[int, str]]]
) -> dict[str, dict[str, int]]:
    """The plan versions that keys were valid on in the month, by customer: those in force back then.

    A key counts from when it was first valid in the month. `in_force` is the history of a plan's
    versions (PlanBook.in_force); a key from before there was one counts with the version of today.
    """
    start, end = month_span(month)
    history = cache(in_force)
    held: dict[str, dict[str, int]] = {}
    for key in keys:
        ends = [instant for instant in (key.revoked_at, key.expires_at) if instant]
        if key.created_at < end and min(ends, default=end) > start:
            since = max(start, key.created_at)
            versions = [version for at, version in history(key.plan.name) if at <= since]
            version = versions[-1] if versions else key.plan.version
            of = held.setdefault(key.customer, {})
            of[version] = min(since, of.get(version, since))
    return held


class Draft:
    """One invoice in the making: rows in the order of time, then the plans that were held."""

    def __init__(
        self,
        month: str,
        customer: str,
        currency: str,
        plan_of: Callable[[str], Plan],
        past: Past,
        *,
        keep_rows: bool = False,
    ) -> None:
        """Start without rows."""
        self._month = month
        self._customer = customer
        self._currency = currency
        self._plan_of = plan_of
        self._past = past
        self._start, _ = month_span(month)
        self._tally = Tally(currency, plan_of)
        self._late: dict[str, Tally] = {}
        self._rows = RowsHash(keep=keep_rows)
        self._held: dict[str, int] = {}

    def add(self, row: UsageEvent) -> None:
        """Bill one row, late or of this month."""
        self._rows.add(row)
        if row.started_at >= self._start:
            self._tally.add(row)
        else:
            month = month_of(row.started_at)
            self._tally_of(month).add(row, late=month)

    def hold(self, version: str, since_ms: int) -> None:
        """Take in that a key was valid on a plan version; after the last row."""
        self._held[version] = since_ms
        self._tally.hold(version, since_ms)

    def invoice(self) -> Invoice:
        """The draft of all that was taken in."""
        late = [line for tally in self._late.values() for line in tally.usage_lines() if line.late]
        bill = make_bill(self._tally, late, self._past.credit_used(self._customer))
        return Invoice(
            DRAFT, self._customer, self._month, bill, self._rows.count, self._rows.hexdigest,
            self._held, self._rows.kept(),
        )  # fmt: skip

    def _tally_of(self, month: str) -> Tally:
        if month not in self._late:
            tally = self._late[month] = Tally(self._currency, self._plan_of)
            for row in self._past.billed(month, self._customer):
                if self._plan_of(row.plan).currency == self._currency:
                    tally.add(row)
        return self._late[month]
