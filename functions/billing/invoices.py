"""Invoices: a customer's month as one document, computed from ledger rows and from nothing else.

A draft can be computed again at any time and comes out the same while the rows are the same. A month
is UTC and half-open. An invoice has one currency: a customer with plans in two gets two. A closed one
names, day by day, how many rows its customer had and their Merkle root, so that whoever has the rows
can check it.

Rows of a closed month that no invoice has yet are late: they come as lines of their own, priced as
what came after the calls of their month that were billed in time.

A day is counted at once where nothing happens on it, and row by row where an allowance runs out, terms
change or nobody can say which calls came first. Both come to the same, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from functions.access.keys import KeyRecord
from functions.billing.bills import Bill, make_bill
from functions.billing.documents import bill_document
from functions.billing.plans import Plan, PlanBook
from functions.billing.pricing import Line, Tally
from functions.metering.event import UsageEvent
from functions.metering.usage import UsageBucket, UsageReader, days_of, month_of, month_span

DRAFT = "draft"

Held = Mapping[str, int]
"""Plan versions that a customer's keys were valid on in a month, each with since when, in milliseconds."""


class Past(Protocol):
    """What closed invoices say; functions/billing/books.py has the real one."""

    def billed(self, month: str, customer: str) -> Iterable[UsageEvent]:
        """The rows of a month that are on an invoice, in the order they were billed."""

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """Prepaid credit that was spent so far, by plan name."""


class Nothing:
    """A past without invoices."""

    def billed(self, month: str, customer: str) -> Iterable[UsageEvent]:
        """None."""
        return ()

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """None."""
        return {}


class DayRows(NamedTuple):
    """What a customer's day in the daybook holds: how many rows, and their Merkle root (RFC 9162) in hex."""

    day: str
    rows: int
    root: str


class Invoice(NamedTuple):
    """One customer's month in one currency. It bills `calls` rows, closed those of its `days`."""

    status: str
    customer: str
    month: str
    bill: Bill
    calls: int
    held: Held
    days: tuple[DayRows, ...] = ()

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
        rows: dict[str, Any] = {"count": self.calls}
        if self.days:
            rows |= {"sha256": rows_sha256(self.days), "days": [day._asdict() for day in self.days]}
        return {
            "status": self.status,
            "customer": self.customer,
            "month": self.month,
            **bill_document(self.bill),
            "plans": sorted({line.plan for line in self.lines}),
            "rows": rows,
        }


def rows_sha256(days: Iterable[DayRows]) -> str:
    """One hash over a customer's days: of the lines "day rows root"."""
    return sha256("".join(f"{day.day} {day.rows} {day.root}\n" for day in days).encode()).hexdigest()


def draft_invoices(
    month: str,
    usage: UsageReader,
    book: PlanBook,
    held: Mapping[str, Held],
    customer: str | None = None,
    *,
    past: Past | None = None,
    late: Iterable[UsageEvent] = (),
) -> list[Invoice]:
    """Compute the invoices of a month ("2026-11"), of one customer or of all, by customer and currency.

    `held` are the plan versions that each customer's keys were valid on (see `plans_held`), `late`
    rows of months before, in their order. A customer who owes no fee and made no call gets no
    invoice. UnknownPlan where a row names a plan version that is not in the book, Unpriced where a
    plan has no price for a call.
    """
    past = past or Nothing()
    plan_of = cache(book.get)
    drafts: dict[tuple[str, str], Draft] = {}

    def draft_of(payer: str, version: str) -> Draft:
        of = (payer, plan_of(version).currency)
        if of not in drafts:
            drafts[of] = Draft(month, *of, plan_of, past)
        return drafts[of]

    for row in late:
        draft_of(row.customer, row.plan).add(row)
    start, end = month_span(month)
    # Everybody's month is too much to hold; one customer's is little, and one question to the archive.
    counted = usage.buckets(start, end, customer) if customer else None
    for day, since, until in days_of(start, end):
        of_day = usage.buckets(since, until) if counted is None else [b for b in counted if b.day == day]
        found: dict[Draft, list[UsageBucket]] = {}
        for bucket in of_day:
            found.setdefault(draft_of(bucket.customer, bucket.plan), []).append(bucket)
        among = {draft.customer for draft, buckets in found.items() if not draft.takes(buckets)}
        for draft, buckets in found.items():
            if draft.customer not in among:
                draft.add_day(buckets)
        for row in usage.rows(since, until, among=among) if among else ():
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
    """One invoice in the making: calls in the order of time, then the plans that were held."""

    def __init__(
        self, month: str, customer: str, currency: str, plan_of: Callable[[str], Plan], past: Past
    ) -> None:
        """Start without calls."""
        self.customer = customer
        self._month = month
        self._currency = currency
        self._plan_of = plan_of
        self._past = past
        self._start, _ = month_span(month)
        self._tally = Tally(currency, plan_of)
        self._late: dict[str, Tally] = {}
        self._calls = 0
        self._held: dict[str, int] = {}

    def add(self, row: UsageEvent) -> None:
        """Bill one row, late or of this month."""
        self._calls += 1
        if row.started_at >= self._start:
            self._tally.add(row)
        else:
            month = month_of(row.started_at)
            self._tally_of(month).add(row, late=month)

    def takes(self, day: Sequence[UsageBucket]) -> bool:
        """Whether a day of this month can be billed without looking at its rows."""
        return self._tally.takes(day)

    def add_day(self, day: Sequence[UsageBucket]) -> None:
        """Bill a day that it takes."""
        for bucket in sorted(day, key=lambda bucket: bucket.first):
            self._calls += bucket.calls
            self._tally.count(
                bucket.first, bucket.plan, bucket.model, bucket.kind, bucket.calls, bucket.units
            )

    def hold(self, version: str, since_ms: int) -> None:
        """Take in that a key was valid on a plan version; after the last row."""
        self._held[version] = since_ms
        self._tally.hold(version, since_ms)

    def invoice(self) -> Invoice:
        """The draft of all that was taken in."""
        late = [line for tally in self._late.values() for line in tally.usage_lines() if line.late]
        bill = make_bill(self._tally, late, self._past.credit_used(self.customer))
        return Invoice(DRAFT, self.customer, self._month, bill, self._calls, self._held)

    def _tally_of(self, month: str) -> Tally:
        if month not in self._late:
            tally = self._late[month] = Tally(self._currency, self._plan_of)
            for row in self._past.billed(month, self.customer):
                if self._plan_of(row.plan).currency == self._currency:
                    tally.add(row)
        return self._late[month]
