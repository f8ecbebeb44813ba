"""Settling wallets with the books: what invoices took, credit notes gave, and calls hold that were left out.

A hold is exact to a nano (a billionth of the currency's unit), an invoice rounds each line once to what
can be paid. So an invoice's entry is the difference between what its calls hold and what it took: less
than half a minor unit for each of its lines and taxes, either way. Where it would take more than is left,
it takes what is left and the rest is waived: a balance is never negative. The hold of a call that was left
out of an invoice, and what a credit note credits, are given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from functions.billing.books import INVOICE, Books
from functions.billing.closings import Document
from functions.billing.holds import compile_holds, nanos
from functions.billing.plans import PlanBook
from functions.billing.wallet import SETTLEMENT
from functions.metering.accounts import Accounts, Entry, EntryConflict, Overdrawn
from functions.metering.event import UsageEvent
from functions.metering.terms import WALLET, held, wallet_account
from functions.metering.usage import month_span


class Settlement(NamedTuple):
    """One entry that was posted: how many nanos, to which wallet, and for what."""

    customer: str
    currency: str
    entry: Entry


def settle(month: str, books: Books, book: PlanBook, accounts: Accounts, now_ms: int) -> list[Settlement]:
    """Settle what is not settled yet: invoices and credit notes, and calls that `month` left out.

    Gives what it posted. What a crash cut short is finished by settling again.
    """
    posted = cache(
        lambda customer, currency: {
            entry.entry_id for entry in accounts.entries(wallet_account(customer, currency))
        }
    )
    terms = cache(lambda version: compile_holds(book.get(version)).holds)
    done: list[Settlement] = []

    def post(customer: str, currency: str, of: str, amount: int, said: str) -> None:
        entry = _post(accounts, customer, currency, Entry(f"{SETTLEMENT}#{of}", amount, said, now_ms))
        if entry is not None:
            done.append(Settlement(customer, currency, entry))

    for document in books.documents():
        customer, currency, number = document["customer"], document["currency"], document["number"]
        prepaid = {version for version in _plans(document) if book.get(version).prepaid}
        if not prepaid or f"{SETTLEMENT}#{number}" in posted(customer, currency):
            continue
        paid = sum((Decimal(c["amount"]) for c in document["credits"] if c["plan"] in prepaid), Decimal(0))
        if document["type"] == INVOICE:
            holds = sum(_hold(terms(row.plan), row) for row in books.rows(document) if row.plan in prepaid)
            post(customer, currency, number, holds - nanos(paid), f"calls rounded to invoice {number}")
        else:
            post(customer, currency, number, nanos(paid), f"credit note {number}")
    for row in _left_out(month, books):
        plan = book.get(row.plan)
        if plan.prepaid and f"{SETTLEMENT}#{row.call_id}" not in posted(row.customer, plan.currency):
            post(row.customer, plan.currency, row.call_id, _hold(terms(row.plan), row), "call left out")
    return done


def _plans(document: Document) -> set[str]:
    return {*document.get("plans", ()), *(credit["plan"] for credit in document["credits"])}


def _hold(terms: str, row: UsageEvent) -> int:
    """What a row holds of its wallet."""
    return sum(hold.amount for hold in held(terms, row) if hold.account.startswith(f"{WALLET}#"))


def _left_out(month: str, books: Books) -> Iterator[UsageEvent]:
    closing = books.closing(month)
    if closing is None or not closing.left_out:
        return
    for row in books.daybook.read(closing.days).rows(0, month_span(month)[1]):
        if row.call_id in closing.left_out:
            yield row


def _post(accounts: Accounts, customer: str, currency: str, entry: Entry) -> Entry | None:
    """Post it, or as much of it as is left; None if somebody else has settled it."""
    while True:
        try:
            return accounts.post(wallet_account(customer, currency), entry)
        except EntryConflict:
            return None
        except Overdrawn as error:
            entry = entry._replace(amount=-error.balance, reason=f"{entry.reason}, the rest waived")
