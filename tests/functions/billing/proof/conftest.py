"""A small service whole: ledger, seals, books, and customers who keep their receipts."""

import itertools
import json
import os
from contextlib import closing

import pytest

from functions.billing.books import Books
from functions.billing.citations import Citations
from functions.billing.closing import close_month
from functions.billing.plans import Plan, PlanBook
from functions.billing.verify import Evidence, verify
from functions.metering.canonical import receipt_of
from functions.metering.event import UsageEvent
from functions.metering.ledger import Billed
from functions.metering.proofs import Proof, Proofs
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.metering.signing import FolderSigner, from_pem, to_pem
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import month_span
from models.store import LocalStore

MONTH = "2026-11"
DAY_MS = 24 * 3600 * 1000
LATER = month_span(MONTH)[1] + 3 * DAY_MS
PLANS = {
    "pro": {
        "price_per_call": "0.013",
        "free_calls": 1,
        "prices": [{"kind": "batch", "price": "0.1"}, {"kind": "batch", "per": "unit", "price": "0.007"}],
        "monthly_fee": 2,
        "taxes": [{"name": "VAT", "percent": 20}],
    },
    "euro": {"currency": "EUR", "price_per_call": "0.5"},
}


class Service:
    """One operator. `receipts` is what its customers have kept, by customer, then call."""

    def __init__(self, folder):
        self.folder = folder
        self.book = PlanBook(LocalStore(folder))
        self.plans = {
            name: Plan.model_validate({"name": name, "currency": "USD", **terms})
            for name, terms in PLANS.items()
        }
        for plan in self.plans.values():
            self.book.publish(plan)
        self.books = Books(LocalStore(folder / "invoices"), "Pay Phone")
        self.seals = Seals(LocalStore(folder))
        self.ledger_file = str(folder / "ledger.db")
        SqliteLedger(self.ledger_file).close()
        self.receipts = {}
        self._numbers = itertools.count(1)

    def call(self, customer="cus_a", day=3, kind="predict", units=1, plan="pro", month=MONTH, **fields):
        number = next(self._numbers)
        row = UsageEvent(
            call_id=f"gw:{number:04}",
            attempts=(f"{number:04}",),
            key_id="key_1",
            customer=customer,
            plan=self.plans[plan].version,
            model="sentiment",
            version="1",
            kind=kind,
            units=units,
            bytes_in=10,
            started_at=month_span(month)[0] + (day - 1) * DAY_MS + number,
            fingerprint="",
            nonce=os.urandom(16).hex(),
        )._replace(**fields)
        with closing(SqliteLedger(self.ledger_file)) as ledger:
            outcome = ledger.append(row).outcome()
        assert isinstance(outcome, Billed)
        self.receipts.setdefault(customer, {})[row.call_id] = receipt_of(outcome.row)
        return outcome.row

    def sealer(self, usage):
        return Sealer(self.seals, usage, FolderSigner(self.folder / "sealing-keys"))

    def seal(self, now=LATER):
        with closing(SqliteUsage(self.ledger_file)) as usage:
            sealer = self.sealer(usage)
            return [sealer.seal(day) for day in sealer.due(now)]

    def rotate(self):
        signer = FolderSigner(self.folder / "sealing-keys")
        self.seals.publish(signer.key)
        private, new = signer.successor()
        self.seals.publish(new)
        signer.replace(private)
        return new

    def public_key(self):
        key = FolderSigner(self.folder / "sealing-keys").key
        return from_pem(to_pem(key).encode())

    def close(self, month=MONTH, left_out=None):
        with closing(SqliteUsage(self.ledger_file)) as usage:
            prover = Citations(self.books, self.seals, self.sealer(usage))
            return close_month(month, usage, self.book, {}, self.books, LATER, left_out, prover)

    def invoice(self, customer="cus_a", currency="USD", month=MONTH):
        (found,) = [
            d for d in self.books.invoices(month) if (d["customer"], d["currency"]) == (customer, currency)
        ]
        return json.loads(json.dumps(found))

    def find(self, call, customer="cus_a", day=None):
        with closing(SqliteLedger(self.ledger_file)) as ledger:
            return Proofs(self.seals, ledger.get).find(customer, call, day)

    def proofs(self, customer="cus_a"):
        found = [self.find(call, customer, receipt[:10]) for call, receipt in self.receipts[customer].items()]
        return [json.loads(json.dumps(proof.document())) for proof in found if isinstance(proof, Proof)]

    def evidence(self, customer="cus_a"):
        return Evidence([*self.receipts[customer].items()], self.proofs(customer))

    def check(self, invoice=None, evidence=None, pinned=None):
        pinned = [self.public_key()] if pinned is None else pinned
        return verify(invoice or self.invoice(), evidence or self.evidence(), pinned)


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path)


@pytest.fixture
def closed(service):
    """A month of two customers, closed: eleven calls of cus_a on three days."""
    for number in range(5):
        service.call(day=3, units=1 + number % 2)
    for number in range(3):
        service.call(day=3, kind="batch", units=2 + number)
    service.call(day=9)
    service.call(day=30, kind="explain")
    service.call(day=30)
    for day in (3, 4):
        service.call("cus_b", day=day)
    service.seal()
    service.close()
    return service
