"""Wallets against the books: what rounding leaves is settled, what was left out or credited is given back."""

from contextlib import closing
from decimal import Decimal

import pytest

from functions.billing.books import Books
from functions.billing.closing import close_month, credit_calls
from functions.billing.holds import compile_holds
from functions.billing.plans import Plan
from functions.billing.settling import settle
from functions.billing.wallet import BadTopUp, top_up, wallet_document
from functions.metering.event import UsageEvent
from functions.metering.ledger import Billed
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_accounts import SqliteAccounts
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.terms import holds_of
from functions.metering.usage import month_span
from models.store import LocalStore

NOVEMBER = "2026-11"
START, NEXT = month_span(NOVEMBER)


class Shop:
    """A ledger, its accounts and the books of one issuer, with one prepaid plan."""

    def __init__(self, folder, book, **terms):
        self.plan = Plan.model_validate({"name": "paid", "currency": "EUR", "prepaid": True, **terms})
        self.book, self.books = book, Books(LocalStore(folder / "books"), "Shop")
        book.publish(self.plan)
        self.file = str(folder / "ledger.db")
        self.ledger, self.accounts = SqliteLedger(self.file), SqliteAccounts(self.file)
        self.holds = holds_of(compile_holds(self.plan).holds)

    def top_up(self, amount, reference="first"):
        top_up(self.accounts, "cus_a", "EUR", Decimal(amount), reference, START)

    def call(self, number, model="sentiment", units=1):
        name = f"a{number}"
        row = UsageEvent(
            f"gw:{name}", (name,), "key_1", "cus_a", self.plan.version, model, "1", "predict", units, 40,
            START + number, "",
        )  # fmt: skip
        assert isinstance(self.ledger.append(row, self.holds).outcome(), Billed)
        return row.call_id

    def close(self, left_out=()):
        with closing(SqliteUsage(self.file)) as usage:
            reasons = dict.fromkeys(left_out, "failed")
            (invoice,) = close_month(NOVEMBER, usage, self.book, {}, self.books, NEXT, reasons)
        return invoice

    def settle(self):
        return settle(NOVEMBER, self.books, self.book, self.accounts, NEXT)

    @property
    def balance(self):
        return Decimal(wallet_document(self.accounts, "cus_a", "EUR")["balance"])


@pytest.fixture
def shop(tmp_path, book):
    opened = []

    def make(**terms):
        opened.append(Shop(tmp_path, book, **terms))
        return opened[-1]

    yield make
    for each in opened:
        each.accounts.close()
        each.ledger.close()


def test_an_invoice_is_paid_whole_and_the_wallet_agrees_to_the_cent(shop):
    sold = shop(price_per_call="0.0042", taxes=[{"name": "VAT", "percent": 19}])
    sold.top_up("1")
    for number in range(10):
        sold.call(number)
    assert sold.balance == 1 - 10 * Decimal("0.0042") * Decimal("1.19")
    invoice = sold.close()
    (paid,) = invoice["credits"]
    assert (invoice["subtotal"], invoice["taxes"][0]["amount"]) == ("0.04", "0.01")
    assert (paid["description"], paid["amount"]) == ("paid from the wallet, plan paid", "0.05")
    assert invoice["total"] == "0.00"
    (settled,) = sold.settle()
    assert settled.entry.amount == 49_980_000 - 50_000_000
    assert sold.balance == Decimal("0.95")
    assert sold.settle() == []
    assert sold.balance == Decimal("0.95")


def test_what_is_too_little_to_be_billed_is_given_back(shop):
    sold = shop(price_per_call="0.001")
    sold.top_up("0.01")
    sold.call(1)
    assert sold.close()["credits"] == []
    sold.settle()
    assert sold.balance == Decimal("0.01")


def test_what_rounding_takes_beyond_the_wallet_is_waived(shop):
    """Two lines of half a cent each round to two cents, where one was put in and held."""
    sold = shop(price_per_call="0.005")
    sold.top_up("0.01")
    sold.call(1, "sentiment"), sold.call(2, "digits")
    assert sold.balance == 0
    assert sold.close()["credits"][0]["amount"] == "0.02"
    (settled,) = sold.settle()
    assert (settled.entry.amount, sold.balance) == (0, 0)
    assert settled.entry.reason.endswith("the rest waived")
    assert sold.settle() == []


def test_the_hold_of_a_call_that_was_left_out_is_given_back(shop):
    sold = shop(price_per_call="0.25")
    sold.top_up("1")
    _, failed = sold.call(1), sold.call(2)
    assert sold.close(left_out=[failed])["credits"][0]["amount"] == "0.25"
    entries = {settled.entry.reason: settled.entry.amount for settled in sold.settle()}
    assert entries == {"calls rounded to invoice shop-000001": 0, "call left out": 250_000_000}
    assert sold.balance == Decimal("0.75")
    assert sold.settle() == []


def test_a_credit_note_goes_back_into_the_wallet(shop):
    sold = shop(price_per_call="0.25", taxes=[{"name": "VAT", "percent": 20}])
    sold.top_up("1")
    first, _ = sold.call(1), sold.call(2)
    number = sold.close()["number"]
    sold.settle()
    assert sold.balance == Decimal("0.4")
    note = credit_calls(number, [first], "it was wrong", sold.books, sold.book, NEXT + 1)
    assert (note["total"], note["credits"][0]["amount"]) == ("0.00", "0.30")
    assert [settled.entry.amount for settled in sold.settle()] == [300_000_000]
    assert sold.balance == Decimal("0.7")


def test_settling_goes_on_where_a_crash_stopped_it(shop, monkeypatch):
    sold = shop(price_per_call="0.004")
    sold.top_up("1")
    calls = [sold.call(number) for number in range(3)]
    sold.close(left_out=calls[1:])
    post, posted = sold.accounts.post, []

    def dies_after_one(account, entry):
        if posted:
            raise KeyboardInterrupt
        posted.append(post(account, entry))
        return posted[0]

    monkeypatch.setattr(sold.accounts, "post", dies_after_one)
    with pytest.raises(KeyboardInterrupt):
        sold.settle()
    monkeypatch.undo()
    assert len(sold.settle()) == 2
    assert sold.balance == 1
    assert sold.settle() == []


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "1000000000"])
def test_only_what_can_be_paid_is_put_in(shop, amount):
    sold = shop(price_per_call="1")
    with pytest.raises(BadTopUp, match="EUR above 0"):
        sold.top_up(amount)
    with pytest.raises(BadTopUp, match="reference"):
        sold.top_up("1", "")
    assert sold.balance == 0
