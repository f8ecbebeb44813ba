"""Any sequence of calls, replays, failures, plan changes, top-ups, closes, credits keeps the books right.

The model is a list of what was answered, and of what was put into a wallet. Whatever is closed is verified
as its customer would, by the receipts of all his answers. Prices are worked out here call by call, in exact
fractions, by code that shares nothing with the product's.
"""

import json
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
from functions.billing.citations import Citations
from functions.billing.closing import audit, close_month, credit_calls
from functions.billing.holds import compile_holds
from functions.billing.plans import Plan, PlanBook
from functions.billing.settling import settle
from functions.billing.verify import Evidence, verify
from functions.metering.accounts import Entry
from functions.metering.canonical import receipt_of
from functions.metering.event import UsageEvent, call_identity
from functions.metering.ledger import Billed, Insufficient, Replayed
from functions.metering.proofs import Proofs
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.metering.signing import FolderSigner
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_accounts import SqliteAccounts
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.terms import holds_of, wallet_account
from functions.metering.usage import month_of, month_span
from models.store import LocalStore

MONTHS = [f"2026-{number:02}" for number in range(1, 10)]
CUSTOMERS = ("cus_a", "cus_b")
PREPAID = "cus_w"
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


def prepaid_plan(cents: int) -> Plan:
    return Plan.model_validate(
        {
            "name": "wallet",
            "currency": "USD",
            "prepaid": True,
            "price_per_call": str(Decimal(cents) / 1000),
            "prices": [
                {
                    "kind": "batch",
                    "per": "unit",
                    "price": str(Decimal(cents) / 7000 // Decimal("1e-9") / 10**9),
                }
            ],
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
        self.prepaid = prepaid_plan(500)
        self.book.publish(self.prepaid)
        self.put_in = 0
        self.held: dict[str, int] = {}
        self.accounts = SqliteAccounts(str(self.folder / "ledger.db"))
        self.seals = Seals(LocalStore(self.folder))
        self.signer = FolderSigner(self.folder / "sealing-keys")
        self.pinned = self.signer.key

    def teardown(self) -> None:
        self.ledger.close()
        self.accounts.close()
        shutil.rmtree(self.folder)

    def _event(self, customer: str, kind: str, units: int, key: str | None, started: int) -> UsageEvent:
        self.attempts += 1
        attempt, plan = f"a{self.attempts}", self.prepaid if customer == PREPAID else self.plan
        return UsageEvent(
            call_identity(customer, attempt, key), (attempt,), f"key_{customer}_{self.rotations}",
            customer, plan.version, "sentiment", "1", kind, units, 10, started, f"f{key}" if key else "",
            nonce=f"{self.attempts:032x}",
        )  # fmt: skip

    def _holds(self, event: UsageEvent):
        """What the call's plan makes it hold, and how much that is by our own reckoning."""
        if event.customer != PREPAID:
            return None, 0
        plan = self.book.get(event.plan)
        units = event.units if event.kind == "batch" else 1
        price = Fraction(plan.prices[0].price if event.kind == "batch" else plan.price_per_call)
        each = price * (100 + TAX) / 100 * 10**9
        return holds_of(compile_holds(plan).holds), units * -(-each.numerator // each.denominator)

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

    @rule(cents=st.integers(1, 3000))
    def top_up(self, cents):
        entry = Entry(f"t{self.attempts}-{self.put_in}", cents * 10**7, "top-up", self.clock)
        for _ in range(2):  # a payment that is told of twice is one
            self.accounts.post(wallet_account(PREPAID, "USD"), entry)
        self.put_in += entry.amount

    @rule(
        target=billed,
        calls=st.lists(
            st.tuples(st.sampled_from(["predict", "batch"]), st.integers(1, 9), st.booleans()),
            min_size=1,
            max_size=6,
        ),
    )
    def prepaid_call(self, calls):
        """Calls that a wallet pays, all on their way at once: as many as it can bear."""
        started = month_span(MONTHS[self.month])[0]
        events = []
        for kind, units, keyed in calls:
            self.clock += 1
            key = f"k{self.clock}" if keyed else None
            events.append(self._event(PREPAID, kind, units, key, started + self.clock * 1000))
        tickets = [self.ledger.append(event, self._holds(event)[0]) for event in events]
        made = []
        for event, ticket in zip(events, tickets, strict=True):
            _, amount = self._holds(event)
            affordable = amount <= self.put_in - sum(self.held.values())
            outcome = ticket.outcome()
            assert isinstance(outcome, Billed if affordable else Insufficient)
            if affordable:
                self.held[event.call_id] = amount
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
            holds, amount = self._holds(again)
            outcome = self.ledger.append(again, holds).outcome()
            if event.call_id in self.voided and isinstance(outcome, Billed):
                self.voided.discard(event.call_id)  # it is answered after all
                self.calls[event.call_id] = outcome.row
                if amount:
                    self.held[event.call_id] = amount
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
            self.held.pop(event.call_id, None)

    @rule(cents=st.integers(0, 999), per_unit=st.integers(0, 99))
    def change_plan(self, cents, per_unit):
        self.plan = plan(cents, per_unit)
        self.book.publish(self.plan)
        self.prepaid = prepaid_plan(cents)
        self.book.publish(self.prepaid)

    @precondition(lambda self: self.month > 1)
    @rule()
    def seal(self):
        """The night comes; nothing of the month before last can change any more."""
        with closing(SqliteUsage(str(self.folder / "ledger.db"))) as usage:
            self._sealer(usage).seal(f"{MONTHS[self.month - 2]}-01")

    @rule()
    def rotate_sealing_key(self):
        self.seals.publish(self.signer.key)
        private, new = self.signer.successor()
        self.seals.publish(new)
        self.signer.replace(private)

    def _sealer(self, usage) -> Sealer:
        return Sealer(self.seals, usage, self.signer)

    @precondition(lambda self: self.fresh and self.month < len(MONTHS) - 1)
    @rule()
    def close(self):
        """Close the month, twice, and go on to the next one."""
        for _ in range(2):
            with closing(SqliteUsage(str(self.folder / "ledger.db"))) as usage:
                books = self._books()
                prover = Citations(books, self.seals, self._sealer(usage))
                issued = close_month(
                    MONTHS[self.month], usage, self.book, {}, books, self.clock, None, prover
                )
        for document in issued:
            self._check_sums(document)
            self._check_receipts(document)
        self._settle([document for document in issued if document["customer"] == PREPAID])
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
            self._settle([note] if note["customer"] == PREPAID else [])

    @rule()
    def rotate_keys(self):
        """Later calls come with other keys."""
        self.rotations += 1

    @rule()
    def restart(self):
        """Everything is opened anew, as after a crash."""
        self.ledger.close()
        self.ledger = SqliteLedger(str(self.folder / "ledger.db"))

    def _settle(self, documents) -> None:
        """An invoice's wallet entry is what its calls hold less what it took, twice over as once."""
        for _ in range(2):
            settle(MONTHS[self.month], self._books(), self.book, self.accounts, self.clock)
        for document in documents:
            took = sum(int(Decimal(credit["amount"]) * 10**9) for credit in document["credits"])
            if document["type"] == "invoice":
                change = sum(self.held[row.call_id] for row in self._books().rows(document)) - took
                left = self.put_in - sum(self.held.values())
                self.put_in += max(change, -left)  # what is not there is waived
            else:
                self.put_in += took

    def _check_receipts(self, document) -> None:
        """Every answer's receipt is proven, and all that the invoice bills is."""
        proofs = Proofs(self.seals, self.ledger.get)
        rows = {row.call_id for row in self._books().rows(document)}
        kept = [(call, receipt_of(row)) for call, row in self.calls.items() if call in rows]
        found = [proofs.find(document["customer"], call, receipt[:10]).document() for call, receipt in kept]
        verdict = verify(json.loads(json.dumps(document)), Evidence(kept, found), [self.pinned])
        assert verdict.wrong == ()
        assert verdict.proven == verdict.calls == len(rows)

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
            plan = self.book.get(row.plan)
            terms = {p.per: Fraction(p.price) for p in plan.prices}
            parts = {"call": Fraction(plan.price_per_call)}
            if row.kind == "batch":
                parts = {per: price * (row.units if per == "unit" else 1) for per, price in terms.items()}
            for per, amount in parts.items():
                line = (row.plan, row.kind, per, late)
                exact[line] = exact.get(line, Fraction(0)) + (0 if free[month] <= plan.free_calls else amount)
        cents = {line: int(amount * 100 + Fraction(1, 2)) for line, amount in exact.items()}
        found = {
            (line["plan"], line["kind"], line["per"], line.get("late", "")): int(
                Decimal(line["amount"]) * 100
            )
            for line in document["lines"]
        }
        assert found == cents
        credit = sum(int(Decimal(c["amount"]) * 100) for c in document["credits"])
        paid = credit if document["customer"] == PREPAID else 0  # from the wallet, taxes and all
        net = sum(cents.values()) - (credit - paid)
        taxed = net + int(Fraction(net * TAX, 100) + Fraction(1, 2))
        assert int(Decimal(document["total"]) * 100) == taxed - paid
        assert document["customer"] != PREPAID or taxed == paid

    @invariant()
    def the_wallet_has_what_was_put_in_less_what_live_calls_hold_and_never_less_than_nothing(self):
        balance = self.accounts.balance(wallet_account(PREPAID, "USD"))
        assert balance == self.put_in - sum(self.held.values()) >= 0

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
        spent = dict.fromkeys((*CUSTOMERS, PREPAID), Decimal(0))
        left: dict[str, Decimal] = {}
        for document in self._books().documents():
            is_note = document["type"] == "credit_note"
            sign = -1 if is_note else 1
            spent[document["customer"]] += sign * sum(Decimal(c["amount"]) for c in document["credits"])
            number = document["invoice"] if is_note else document["number"]
            left[number] = left.get(number, Decimal(0)) + sign * Decimal(document["total"])
            assert 0 <= spent[document["customer"]] <= CREDIT or document["customer"] == PREPAID
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
