"""Prepaid wallets: an account a customer and currency, filled by top-ups and held from by calls.

    balance = top-ups - refunds + settlements - what live calls hold

Entries are named by what they stand for, the payment or the document, so nothing is posted twice.
"""

from __future__ import annotations

from decimal import Decimal

from functions.billing.amounts import instant_text, round_amount
from functions.billing.holds import nanos
from functions.metering.accounts import Accounts, Entry
from functions.metering.terms import amount_text, wallet_account

MOST = Decimal(10**9)
TOP_UP, REFUND, SETTLEMENT = "top-up", "refund", "settlement"


class BadTopUp(ValueError):
    """The amount can't be put into a wallet; the message says what was expected."""


def top_up(
    accounts: Accounts, customer: str, currency: str, amount: Decimal, reference: str, now_ms: int
) -> Entry:
    """Put money in. `reference` names the payment: put in again under it, nothing changes.

    BadTopUp; EntryConflict where the reference came with another amount.
    """
    account = _account(customer, currency, amount, reference)
    return accounts.post(account, Entry(f"{TOP_UP}#{reference}", nanos(amount), TOP_UP, now_ms))


def refund(
    accounts: Accounts, customer: str, currency: str, amount: Decimal, reference: str, now_ms: int
) -> Entry:
    """Take money out, as it goes back to the customer; else as `top_up`. Overdrawn if there is less."""
    account = _account(customer, currency, amount, reference)
    return accounts.post(account, Entry(f"{REFUND}#{reference}", -nanos(amount), REFUND, now_ms))


def _account(customer: str, currency: str, amount: Decimal, reference: str) -> str:
    if not 0 < amount < MOST or amount != round_amount(amount, currency):
        raise BadTopUp(
            f"an amount of {currency} above 0 and below {MOST:,} was expected, with no more decimals than "
            "can be paid"
        )
    if not 1 <= len(reference) <= 128 or not reference.isprintable():
        raise BadTopUp("a reference of 1 to 128 printable characters was expected")
    return wallet_account(customer, currency)


def wallet_document(accounts: Accounts, customer: str, currency: str) -> dict[str, object]:
    """A wallet for JSON: its balance and journal, exact amounts as strings."""
    account = wallet_account(customer, currency)
    return {
        "customer": customer,
        "currency": currency,
        "balance": amount_text(accounts.balance(account)),
        "entries": [entry_document(entry) for entry in accounts.entries(account)],
    }


def entry_document(entry: Entry) -> dict[str, str]:
    """An entry for JSON."""
    kind, _, reference = entry.entry_id.partition("#")
    return {
        "kind": kind,
        "reference": reference,
        "amount": amount_text(entry.amount),
        "reason": entry.reason,
        "made_at": instant_text(entry.made_at),
    }
