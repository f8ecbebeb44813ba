"""Any sequence of calls, replays, failures, plan changes, closes and credit notes keeps the books right.

The model is a list of what was answered. Prices are worked out here call by call, in exact
fractions, by code that shares nothing with the product's.
"""

import shutil
import tempfile
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from functions.billing.books import Books
from functions.billing.closing import audit, close_month, credit_calls
from functions.billing.plans import Plan, PlanBook
from functions.metering.event import UsageEvent, call_identity
from functions.metering.ledger import Billed, Replayed
from functions.metering.sqlite import SqliteLedger, SqliteUsage
from functions.metering.usage import month_of, month_span
from models.store import LocalStore

MONTHS = [f"2026-{number:02}" for number in range(1, 10)]
CUSTOMERS = ("cus_a", "cus_b")
FREE, CREDIT, TAX = 3, 4, 20
HOUR = 3_600_000


def plan(cents: int, per_unit: int) -> Plan:
    prices = [{"kind": "batch", "price": str(Decimal(cents) / 100)}]
    if per_unit:
        prices.append({"kind": "batch", "per": "unit", "price": str(Decimal(per_unit) / 1000)})
    return Plan.model_validate(
        {
            "name": "pro",
            "currency": "USD",
            "price_per_call": str(Decimal(cents) / 1000),
            "free_calls": FREE,
            "prices": prices,
            "prepaid_credit": CREDIT,
            "taxes": [{"name": "VAT", "percent": TAX}],
        }
    )


class Sequence(RuleBasedStateMachine):
    billed = Bundle("billed")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = SqliteLedger(str(self.folder / "ledger.db"))
        self.store = LocalStore(self.folder / "invoices")
        self.book = PlanBook(LocalStore(self.folder / "plans"))
        self.month = 0
        self.clock = 0
        self.rotations = 0
        self.fresh = False
        self.attempts = 0
        self.plan = plan(125, 3)
        self.book.publish(self.plan)
        self.calls: dict[str, UsageEvent] = {}
        self.voided: set[str] = set()
        self.credited: set[str] = set()
        self.frozen: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    def _event(self, customer: str, kind: str, units: int, key: str | None, started: int) -> UsageEvent:
        self.attempts += 1
        attempt = f"a{self.attempts}"
        return UsageEvent(
            call_identity(customer, attempt, key), (attempt,), f"key_{customer}_{self.rotations}",
            customer, self.plan.version, "sentiment", "1", kind, units, 10, started, f"f{key}" if key else "",
        )  # fmt: skip

    def _books(self) -> Books:
        return Books(self.store, "Payphone")

    @rule(
        target=billed,
        customer=st.sampled_from(CUSTOMERS),
        calls=st.lists(
            st.tuples(st.sampled_from(["predict", "explain", "batch"]), st.integers(1, 9)),
            min_size=3,
            max_size=9,
        ),
        keyed=st.booleans(),
        late=st.sampled_from([0, 1, 1]),
    )
    def call(self, customer, calls, keyed, late):
        """Calls of now, or calls whose rows come a month late."""
        made = []
        for kind, units in calls:
            self.clock += 1
            started = month_span(MONTHS[max(0, self.month - late)])[0] + self.clock * 1000
            event = self._event(customer, kind, units, f"k{self.clock}" if keyed else None, started)
            assert isinstance(self.ledger.append(event).outcome(), Billed)
            self.calls[event.call_id] = event
            made.append(event)
        self.fresh = True
        return multiple(*made)

    @rule(event=billed)
    def replay(self, event):
        """The same call again: with an Idempotency-Key a replay, without one only the wire's own resend."""
        if event.fingerprint:
            self.attempts += 1
            again = event._replace(attempts=(f"a{self.attempts}",), started_at=event.started_at + HOUR)
            outcome = self.ledger.append(again).outcome()
            if event.call_id in self.voided and isinstance(outcome, Billed):
                self.voided.discard(event.call_id)  # it is answered after all
                self.calls[event.call_id] = outcome.row
            else:
                assert not isinstance(outcome, Billed)
        elif event.call_id not in self.voided:
            assert isinstance(self.ledger.append(event).outcome(), (Billed, Replayed))

    @rule(event=consumes(billed))
    def fail(self, event):
        """Inference fails before the month is closed."""
        row = self.ledger.get(event.call_id)
        if not self._on_invoice(event.call_id):
            self.ledger.void(event.call_id, row.attempts[0])
            self.voided.add(event.call_id)

    @rule(cents=st.integers(0, 999), per_unit=st.integers(0, 99))
    def change_plan(self, cents, per_unit):
        self.plan = plan(cents, per_unit)
        self.book.publish(self.plan)

    @precondition(lambda self: self.fresh and self.month < len(MONTHS) - 1)
    @rule()
    def close(self):
        """Close the month, twice, and go on to the next one."""
        for _ in range(2):
            with closing(SqliteUsage(str(self.folder / "ledger.db"))) as usage:
                issued = close_month(MONTHS[self.month], usage, self.book, {}, self._books(), self.clock)
        for document in issued:
            self._check_sums(document)
        end = month_span(MONTHS[self.month])[1]
        live = {call for call, event in self.calls.items() if event.started_at < end} - self.voided
        assert live <= self._billed_ids()  # nothing is lost; a call that is voided later stays on its invoice
        self.month += 1
        self.fresh = False

    @rule(event=billed)
    def credit(self, event):
        number = self._on_invoice(event.call_id)
        if number and event.call_id not in self.credited:
            note = credit_calls(number, [event.call_id], "failed", self._books(), self.book, self.clock)
            self.credited.add(event.call_id)
            assert Decimal(note["total"]) >= 0

    @rule()
    def rotate_keys(self):
        """Later calls come with other keys."""
        self.rotations += 1

    @rule()
    def restart(self):
        """Everything is opened anew, as after a crash."""
        self.ledger.close()
        self.ledger = SqliteLedger(str(self.folder / "ledger.db"))

    def _billed_ids(self) -> set[str]:
        books = self._books()
        invoices = [d for d in books.documents() if d["type"] == "invoice"]
        ids = [row.call_id for document in invoices for row in books.rows(document)]
        assert len(ids) == len(set(ids))
        return set(ids)

    def _on_invoice(self, call: str) -> str:
        books = self._books()
        for document in books.documents():
            if document["type"] == "invoice" and any(row.call_id == call for row in books.rows(document)):
                return document["number"]
        return ""

    def _check_sums(self, document) -> None:
        """The calls' lines are the calls priced one by one, free ones by time, late ones after the others."""
        books = self._books()
        free: dict[str, int] = {}
        earlier = [
            d for d in books.documents() if d["number"] < document["number"] and d["type"] == "invoice"
        ]
        for other in earlier:
            if other["customer"] == document["customer"]:
                for row in books.rows(other):
                    month = month_of(row.started_at)
                    free[month] = free.get(month, 0) + 1
        exact: dict[tuple[str, str, str, str], Fraction] = {}
        for row in books.rows(document):
            month = month_of(row.started_at)
            free[month] = free.get(month, 0) + 1
            late = "" if month == document["month"] else month
            terms = {(p.kind, p.per): Fraction(p.price) for p in self.book.get(row.plan).prices}
            each = Fraction(self.book.get(row.plan).price_per_call)
            parts = {"call": terms["batch", "call"] if row.kind == "batch" else each}
            if row.kind == "batch" and ("batch", "unit") in terms:
                parts["unit"] = terms["batch", "unit"] * row.units
            for per, amount in parts.items():
                line = (row.plan, row.kind, per, late)
                exact[line] = exact.get(line, Fraction(0)) + (0 if free[month] <= FREE else amount)
        cents = {line: int(amount * 100 + Fraction(1, 2)) for line, amount in exact.items()}
        found = {
            (line["plan"], line["kind"], line["per"], line.get("late", "")): int(
                Decimal(line["amount"]) * 100
            )
            for line in document["lines"]
        }
        assert found == cents
        net = sum(cents.values()) - sum(int(Decimal(c["amount"]) * 100) for c in document["credits"])
        taxed = net + int(Fraction(net * TAX, 100) + Fraction(1, 2))
        assert int(Decimal(document["total"]) * 100) == taxed

    @invariant()
    def each_call_is_billed_at_most_once(self):
        assert self._billed_ids() <= self.calls.keys()

    @invariant()
    def closed_documents_never_change(self):
        files = {name: self.store.get(name) for name in self.store.list("")}
        assert self.frozen.items() <= files.items()
        self.frozen = files

    @invariant()
    def the_books_are_whole(self):
        books = self._books()
        documents = books.documents()
        assert [d["number"] for d in documents] == [f"payphone-{n + 1:06}" for n in range(len(documents))]
        assert books.problems() == []

    @invariant()
    def credit_is_never_overspent_and_no_invoice_turns_around(self):
        spent = dict.fromkeys(CUSTOMERS, Decimal(0))
        left: dict[str, Decimal] = {}
        for document in self._books().documents():
            is_note = document["type"] == "credit_note"
            sign = -1 if is_note else 1
            spent[document["customer"]] += sign * sum(Decimal(c["amount"]) for c in document["credits"])
            number = document["invoice"] if is_note else document["number"]
            left[number] = left.get(number, Decimal(0)) + sign * Decimal(document["total"])
            assert 0 <= spent[document["customer"]] <= CREDIT
        assert all(amount >= 0 for amount in left.values())

    @precondition(lambda self: self.month)
    @rule()
    def compute_again(self):
        books = self._books()
        for document in books.documents():
            if document["type"] == "invoice":
                assert audit(document, books, self.book) == ""


Sequence.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnySequence = Sequence.TestCase
