"""Closing, late rows and credit notes, over the real ledger, book and store."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from functions.billing.books import Books
from functions.billing.closing import (
    NotClosable,
    NotCreditable,
    audit,
    close_month,
    credit_amount,
    credit_calls,
)
from functions.billing.plans import Plan, PlanBook
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import month_span
from models.store import LocalStore

OCTOBER, NOVEMBER, DECEMBER = "2026-10", "2026-11", "2026-12"
NOW = 1_800_000_000_000
ROOT = Path(__file__).parents[3]

PLAN = Plan.model_validate(
    {
        "name": "pro",
        "currency": "USD",
        "price_per_call": "1",
        "free_calls": 2,
        "monthly_fee": 5,
        "prepaid_credit": 3,
        "taxes": [{"name": "VAT", "percent": 10}],
    }
)


def row(number: int, month: str = NOVEMBER, customer: str = "cus_a", **changes) -> UsageEvent:
    made = UsageEvent(
        f"gw:{month}-{number:04}", (f"{month}-{number}",), "key_1", customer, PLAN.version, "sentiment", "1",
        "predict", 1, 10, month_span(month)[0] + number, "",
    )  # fmt: skip
    return made._replace(**changes)


class Shop:
    """A ledger, a plan book and the books in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "invoices")
        self.book = PlanBook(LocalStore(folder))
        self.book.publish(PLAN)
        self.books = Books(self.store, "Pay Phone")

    def write(self, *rows: UsageEvent) -> None:
        with closing(SqliteLedger(str(self.folder / "ledger.db"))) as ledger:
            for ticket in [ledger.append(each) for each in rows]:
                ticket.outcome()

    def void(self, each: UsageEvent) -> None:
        with closing(SqliteLedger(str(self.folder / "ledger.db"))) as ledger:
            ledger.void(each.call_id, each.attempts[0])

    def close(self, month: str, books: Books | None = None, **options):
        with closing(SqliteUsage(str(self.folder / "ledger.db"))) as usage:
            return close_month(month, usage, self.book, {}, books or self.books, NOW, **options)

    def files(self) -> dict[str, bytes]:
        return {name: self.store.get(name) for name in self.store.list("")}


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_closed_invoice_says_all_of_itself(shop):
    shop.write(*(row(n) for n in range(6)))
    (invoice,) = shop.close(NOVEMBER)
    assert {name: invoice[name] for name in ("type", "number", "issuer", "status", "customer", "month")} == {
        "type": "invoice",
        "number": "pay-phone-000001",
        "issuer": "Pay Phone",
        "status": "closed",
        "customer": "cus_a",
        "month": NOVEMBER,
    }
    # fee 5 and four calls at 1, less a credit of 3, plus 10%
    assert (invoice["subtotal"], invoice["total"]) == ("9.00", "6.60")
    assert invoice["plans"] == [PLAN.version]
    assert invoice["rows"]["count"] == 6
    assert [each.call_id for each in shop.books.rows(invoice)] == [f"gw:{NOVEMBER}-{n:04}" for n in range(6)]
    assert audit(invoice, shop.books, shop.book) == ""
    assert shop.books.problems() == []


def test_closing_twice_changes_nothing(shop):
    shop.write(*(row(n, customer=f"cus_{'ab'[n % 2]}") for n in range(6)))
    first, before = shop.close(NOVEMBER), shop.files()
    shop.write(row(90))
    assert shop.close(NOVEMBER) == first
    assert shop.close(NOVEMBER, Books(shop.store, "Pay Phone")) == first
    assert shop.files() == before
    assert [invoice["number"] for invoice in first] == ["pay-phone-000001", "pay-phone-000002"]


def test_late_rows_go_on_the_next_invoice_as_their_own_lines(shop):
    shop.write(row(1), row(5))
    (november,) = shop.close(NOVEMBER)
    assert november["total"] == "2.20"  # both are free: the fee less credit, plus tax
    shop.write(row(3), row(4), row(1, DECEMBER))
    (december,) = shop.close(DECEMBER)
    lines = {
        line["description"]: (line["quantity"], line["free"], line["amount"]) for line in december["lines"]
    }
    assert lines == {
        "monthly fee, plan pro": (1, 0, "5.00"),
        "sentiment, predict, plan pro, late calls of 2026-11": (2, 0, "2.00"),  # November's two were used up
        "sentiment, predict, plan pro": (1, 1, "0.00"),
    }
    assert december["rows"]["count"] == 3
    assert december["credits"] == []  # November took all three
    assert audit(december, shop.books, shop.book) == ""
    (january,) = shop.close("2027-01") or [None]
    assert january is None


def test_what_was_left_out_stays_out(shop):
    shop.write(*(row(n) for n in range(5)))
    (invoice,) = shop.close(NOVEMBER, left_out={row(1).call_id: "failed"})
    assert invoice["rows"]["count"] == 4
    shop.write(row(1, DECEMBER))
    (december,) = shop.close(DECEMBER)
    assert december["rows"]["count"] == 1


def test_months_close_one_after_the_other(shop):
    shop.write(row(1, OCTOBER), row(1, NOVEMBER))
    with pytest.raises(NotClosable, match="there are calls in 2026-10: close that month"):
        shop.close(NOVEMBER)
    shop.close(OCTOBER)
    with pytest.raises(NotClosable, match="2026-11 is next, not 2026-12"):
        shop.close(DECEMBER)
    shop.close(NOVEMBER)


def test_many_close_at_once_and_each_customer_has_one_invoice(shop):
    shop.write(*(row(n, customer=f"cus_{n % 20:02}") for n in range(60)))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: shop.close(NOVEMBER, Books(shop.store, "Pay Phone")), range(4)))
    documents = Books(shop.store, "Pay Phone").documents()
    assert [d["number"] for d in documents] == [f"pay-phone-{n:06}" for n in range(1, 21)]
    assert sorted(d["customer"] for d in documents) == [f"cus_{n:02}" for n in range(20)]
    assert shop.books.problems() == []
    assert all({d["number"] for d in result} == {d["number"] for d in documents} for result in results)


CLOSE = """
import sys
from pathlib import Path
from contextlib import closing
from functions.billing.books import Books
from functions.billing.closing import close_month
from functions.billing.plans import PlanBook
from functions.metering.sqlite_usage import SqliteUsage
from models.store import LocalStore

class Dying(LocalStore):
    '''Kills its own process before or after the nth write reaches the disk.'''
    left = int(sys.argv[2])

    def put(self, name, data):
        import os, signal
        Dying.left -= 1
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().put(name, data)

    def _written(self, path, data):
        Dying.left -= 1
        if Dying.left == 0:
            (path.parent).mkdir(parents=True, exist_ok=True)
            (path.parent / f".{path.name}.torn").write_bytes(data[: len(data) // 2])
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._written(path, data)

folder = Path(sys.argv[1])
with closing(SqliteUsage(str(folder / "ledger.db"))) as usage:
    books = Books(Dying(folder / "invoices"), "Pay Phone")
    close_month("2026-11", usage, PlanBook(LocalStore(folder)), {}, books, int(sys.argv[3]))
"""


def test_a_crash_at_any_write_leaves_none_or_one(shop):
    """kill -9 before and inside each write that closing three customers' month takes."""
    shop.write(*(row(n, customer=f"cus_{'abc'[n % 3]}") for n in range(9)))
    died = 0
    for at in range(1, 40):
        done = subprocess.run(
            [sys.executable, "-c", CLOSE, shop.folder, str(at), str(NOW)],
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        books = Books(shop.store, "Pay Phone")
        documents = books.documents()
        assert [d["number"] for d in documents] == [f"pay-phone-{n + 1:06}" for n in range(len(documents))]
        assert len({d["customer"] for d in documents}) == len(documents)
        assert books.problems() == []
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        died += 1
    assert died >= 3
    before = shop.files()
    invoices = shop.close(NOVEMBER, books)
    assert [d["customer"] for d in invoices] == ["cus_a", "cus_b", "cus_c"]
    assert shop.files() == before
    assert all(audit(d, books, shop.book) == "" for d in invoices)


def test_crediting_calls_mirrors_their_charge(shop):
    shop.write(*(row(n) for n in range(10)))
    (invoice,) = shop.close(NOVEMBER)
    assert invoice["total"] == "11.00"  # 5 + 8 - 3 and a tenth of it
    calls = [row(3).call_id, row(7).call_id]
    note = credit_calls(invoice["number"], calls, "answered with 500", shop.books, shop.book, NOW)
    assert (note["number"], note["invoice"], note["calls"]) == ("pay-phone-000002", invoice["number"], calls)
    assert (note["total"], [tax["amount"] for tax in note["taxes"]]) == ("2.20", ["0.20"])
    again = [row(7).call_id, row(8).call_id]
    assert (
        credit_calls(invoice["number"], again, "so was that", shop.books, shop.book, NOW)["total"] == "1.10"
    )
    with pytest.raises(NotCreditable, match="credited already"):
        credit_calls(invoice["number"], again, "once more", shop.books, shop.book, NOW)
    with pytest.raises(NotCreditable, match="does not bill gw:x"):
        credit_calls(invoice["number"], ["gw:x"], "no", shop.books, shop.book, NOW)
    assert shop.books.problems() == []


def test_crediting_gives_prepaid_credit_back(shop):
    free = PLAN.model_copy(update={"monthly_fee": Decimal(0), "prepaid_credit": Decimal(10)})
    shop.book.publish(free)
    shop.write(*(row(n, plan=free.version) for n in range(6)))
    (invoice,) = shop.close(NOVEMBER)
    assert (invoice["total"], invoice["credits"][0]["amount"]) == ("0.00", "4.00")
    note = credit_calls(invoice["number"], [row(5).call_id], "failed", shop.books, shop.book, NOW)
    assert (note["total"], note["credits"]) == ("0.00", [{"plan": free.version, "amount": "1.00"}])
    shop.write(*(row(n, DECEMBER, plan=free.version) for n in range(12)))
    (december,) = shop.close(DECEMBER)
    assert december["credits"][0]["amount"] == "7.00"  # 10 - 4 + 1


def test_crediting_an_amount(shop):
    shop.write(*(row(n) for n in range(10)))
    (invoice,) = shop.close(NOVEMBER)
    note = credit_amount(invoice["number"], Decimal("5.50"), "goodwill", shop.books, NOW)
    assert (note["total"], note["taxes"][0]["amount"]) == ("5.50", "0.50")
    for amount in ("5.51", "0", "-1", "1.001"):
        with pytest.raises(NotCreditable, match=r"up to 5\.50 USD"):
            credit_amount(invoice["number"], Decimal(amount), "goodwill", shop.books, NOW)
    credit_amount(invoice["number"], Decimal("5.50"), "goodwill", shop.books, NOW)
    with pytest.raises(NotCreditable, match="credit note itself"):
        credit_amount(note["number"], Decimal(1), "no", shop.books, NOW)
    # Nothing is left of the invoice: a call of it can be noted, and costs nothing more.
    assert (
        credit_calls(invoice["number"], [row(3).call_id], "failed", shop.books, shop.book, NOW)["total"]
        == "0.00"
    )


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_document_that_was_changed_or_removed_is_noticed(shop, which):
    shop.write(*(row(n, customer=f"cus_{'abc'[n % 3]}") for n in range(9)))
    shop.close(NOVEMBER)
    file = shop.folder / "invoices" / "documents" / "pay-phone" / f"{which:08}.json"
    text = file.read_text()
    file.write_text(text.replace('"total": "', '"total": "1'))
    assert any(f"document {which} was changed" in said for said in shop.books.problems())
    file.unlink()
    assert any("missing" in said for said in Books(shop.store, "Pay Phone").problems())
    file.write_text(text)
    assert shop.books.problems() == []


def test_rows_that_were_changed_after_closing_are_noticed(shop):
    shop.write(*(row(n) for n in range(5)))
    (invoice,) = shop.close(NOVEMBER)
    kept = [*sorted((shop.folder / "invoices").glob("rows/*/*")), *shop.folder.glob("invoices/closings/*")]
    assert len(kept) == 3
    for file in kept:
        data = file.read_bytes()
        for position in range(0, len(data), 3):
            file.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            books = Books(shop.store, "Pay Phone")
            assert audit(invoice, books, shop.book) or [*books.rows(invoice)] == [
                row(n)._replace(attempts=()) for n in range(5)
            ]
        file.write_bytes(data)
    assert audit(invoice, Books(shop.store, "Pay Phone"), shop.book) == ""
    edited = json.loads(json.dumps(invoice))
    edited["lines"][0]["amount"] = "4.00"
    assert "does not come out of its rows: lines" in audit(edited, shop.books, shop.book)
