"""Closing a month: drafts become invoices. And mending: what was billed wrongly becomes a credit note.

A month closes after the one before it, so that late rows have one place to go. What is computed
here is computed from rows alone; that they are the right ones is for reconcile.py to say first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cache
from itertools import groupby, takewhile
from typing import Any, Protocol

from functions.billing.amounts import add_up, instant_text, round_amount
from functions.billing.books import INVOICE, Books, ClosedPast
from functions.billing.closings import Closing, Document, months_before
from functions.billing.invoices import DayRows, Draft, Held, Invoice, draft_invoices
from functions.billing.plans import PlanBook
from functions.metering.canonical import canonical_row
from functions.metering.merkle import root_hash
from functions.metering.usage import DAY_MS, StampedReader, month_of, month_span


class Prover(Protocol):
    """Makes invoices verifiable; functions/billing/citations.py has the real one."""

    def cite(self, settled: Closing, drafts: list[Invoice]) -> list[dict[str, Any]]:
        """What each invoice says of the seals that it rests on."""

    def sign(self, document: Document) -> Mapping[str, str]:
        """What it carries as "signed"."""


class NotClosable(Exception):
    """The month can't be closed yet; the message says why."""


class NotCreditable(ValueError):
    """The invoice can't be credited so; the message says why."""


def close_month(
    month: str,
    usage: StampedReader,
    book: PlanBook,
    held: Mapping[str, Held],
    books: Books,
    now_ms: int,
    left_out: Mapping[str, str] | None = None,
    prover: Prover | None = None,
) -> list[Document]:
    """Issue the invoices of a month and give them; of a closed month those that there are.

    `left_out` are calls that are not billed, each with the reason. `prover` puts their rows under
    seals and signs the invoices (functions/billing/citations.py). What a crash cut short is
    finished by closing again. NotClosable if an earlier month has to be closed first.
    """
    if not books.closed(month):
        _check_order(month, usage, books)
        settled = books.begin(month, usage, left_out or {}, now_ms)
        late = books.late_rows(month, usage)
        billed, past = books.usage(settled, late=False), ClosedPast(books, books.documents())
        drafts = draft_invoices(month, billed, book, held, past=past, late=late)
        proofs = prover.cite(settled, drafts) if prover else [{} for _ in drafts]
        for draft, proof in zip(drafts, proofs, strict=True):
            whole = draft._replace(days=settled.days_of(draft.customer))
            books.issue_invoice(whole, now_ms, proof, prover.sign if prover else None)
        books.close(month, settled.left_out, now_ms)
    return books.invoices(month)


def _check_order(month: str, usage: StampedReader, books: Books) -> None:
    closed = books.closed_months()
    if closed:
        following = month_of(month_span(closed[-1])[1])
        if month != following:
            raise NotClosable(f"months close one after the other: {following} is next, not {month}")
        return
    for earlier in months_before(month):
        if next(iter(usage.rows(*month_span(earlier))), None) is not None:
            raise NotClosable(f"there are calls in {earlier}: close that month before {month}")


def recompute(document: Document, books: Books, book: PlanBook, without: Collection[str] = ()) -> Invoice:
    """Compute a closed invoice once more, row by row, less some calls, and its days' roots. TamperedRows."""
    earlier = takewhile(lambda each: each["number"] != document["number"], books.documents())
    past = ClosedPast(books, earlier)
    plan_of = cache(book.get)
    draft = Draft(document["month"], document["customer"], document["currency"], plan_of, past)
    days: list[DayRows] = []
    for day, cited in groupby(books.cited(document), lambda row: row.started_at // DAY_MS):
        rows = [*cited]
        root = root_hash(map(canonical_row, rows)).hex()
        days.append(DayRows(instant_text(day * DAY_MS)[:10], len(rows), root))
        for row in books.billed(document, rows):
            if row.call_id not in without:
                draft.add(row)
    for version, since in document["held"].items():
        draft.hold(version, since)
    return draft.invoice()._replace(days=tuple(days))


def audit(document: Document, books: Books, book: PlanBook) -> str:
    """Whether an invoice comes out of its kept rows: "" if it does, else what does not fit."""
    try:
        again = recompute(document, books, book).document()
    except (ValueError, KeyError) as error:
        return f"{document['number']} can't be computed again: {error}"
    wrong = [name for name in again if name != "status" and again[name] != document.get(name)]
    return f"{document['number']} does not come out of its rows: {', '.join(wrong)}" if wrong else ""


def credit_calls(
    number: str, calls: Collection[str], reason: str, books: Books, book: PlanBook, now_ms: int
) -> Document:
    """Credit calls: the invoice comes to what it would be without them, taxes and prepaid credit too.

    Calls that were credited before stay so and are not credited again. NotCreditable, UnknownDocument.
    """
    invoice = _invoice(number, books)
    billed = {row.call_id for row in books.rows(invoice)}
    if unknown := sorted(set(calls) - billed):
        raise NotCreditable(f"{number} does not bill {unknown[0]}: a call of its rows was expected")
    before = {call for note in books.notes(number) for call in note["calls"]}
    new = sorted(set(calls) - before)
    if not new:
        raise NotCreditable(f"these calls are credited already: see the credit notes to {number}")
    was = recompute(invoice, books, book, before).bill
    now = recompute(invoice, books, book, before | set(new)).bill
    zero = Decimal(0)
    returned = {
        extra.plan: max(zero, extra.amount - _sum_of(now.credits, extra.plan)) for extra in was.credits
    }
    taxes = {
        tax.description: max(zero, tax.amount - sum((t.amount for t in now.taxes if t[:2] == tax[:2]), zero))
        for tax in was.taxes
    }
    return _note(invoice, max(zero, was.total - now.total), reason, books, now_ms, new, returned, taxes)


def credit_amount(number: str, amount: Decimal, reason: str, books: Books, now_ms: int) -> Document:
    """Credit an amount, taxes included in the invoice's own proportion. NotCreditable, UnknownDocument."""
    invoice = _invoice(number, books)
    currency, total = invoice["currency"], Decimal(invoice["total"])
    left = _left(invoice, books)
    if not 0 < amount <= left or amount != round_amount(amount, currency):
        raise NotCreditable(
            f"an amount of up to {left:f} {currency} was expected, which is what is left of {number}"
        )
    taxes = {tax["description"]: amount * Decimal(tax["amount"]) / total for tax in invoice["taxes"]}
    return _note(invoice, amount, reason, books, now_ms, [], {}, taxes)


def _invoice(number: str, books: Books) -> Document:
    document = books.get(number)
    if document["type"] != INVOICE:
        raise NotCreditable(f"{number} is a credit note itself: the number of an invoice was expected")
    return document


def _left(invoice: Document, books: Books) -> Decimal:
    """What is left of an invoice after its credit notes."""
    credited = [-Decimal(note["total"]) for note in books.notes(invoice["number"])]
    return add_up([Decimal(invoice["total"]), *credited], invoice["currency"])


def _sum_of(extras: Collection[Any], plan: str) -> Decimal:
    return sum((extra.amount for extra in extras if extra.plan == plan), Decimal(0))


def _note(
    invoice: Document,
    amount: Decimal,
    reason: str,
    books: Books,
    now_ms: int,
    calls: list[str],
    returned: Mapping[str, Decimal],
    taxes: Mapping[str, Decimal],
) -> Document:
    currency = invoice["currency"]

    def text(value: Decimal) -> str:
        return format(round_amount(value, currency), "f")

    total = min(amount, _left(invoice, books))
    note = {name: invoice[name] for name in ("customer", "month", "currency")}
    note |= {
        "invoice": invoice["number"],
        "reason": reason,
        "calls": calls,
        "credits": [{"plan": plan, "amount": text(value)} for plan, value in returned.items() if value],
        "taxes": [{"description": name, "amount": text(value)} for name, value in taxes.items() if value],
        "total": text(total),
    }
    return books.issue_note(note, now_ms)
