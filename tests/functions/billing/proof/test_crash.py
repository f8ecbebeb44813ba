"""kill -9 before and inside each write of closing a month: no call is lost, none is doubled."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[4]
CLOSE = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from functions.billing.books import Books
from functions.billing.citations import Citations
from functions.billing.closing import close_month
from functions.billing.plans import PlanBook
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.metering.signing import FolderSigner
from functions.metering.sqlite_usage import SqliteUsage
from models.store import LocalStore

folder, left, now = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Dying(LocalStore):
    def put(self, name, data):
        self.step()
        super().put(name, data)

    def _written(self, path, data):
        self.step()
        return super()._written(path, data)

    def step(self):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

with closing(SqliteUsage(str(folder / "ledger.db"))) as usage:
    books = Books(Dying(folder / "invoices"), "Pay Phone")
    seals = Seals(Dying(folder))
    prover = Citations(books, seals, Sealer(seals, usage, FolderSigner(folder / "sealing-keys")))
    close_month("2026-11", usage, PlanBook(LocalStore(folder)), {}, books, now, None, prover)
"""


def test_whenever_closing_is_killed_the_next_run_finishes_it_and_every_receipt_is_proven(service):
    for number in range(9):
        service.call(f"cus_{number % 2}", day=3 + number % 3, units=1 + number)
    died = 0
    for at in range(1, 80):
        done = subprocess.run(
            [sys.executable, "-c", CLOSE, service.folder, str(at), "1800000000000"],
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert service.books.problems() == []
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        died += 1
    assert died >= 10
    sealed = service.seals.rows([service.seals.day(name) for name in service.seals.names("")])
    assert Counter(row.call_id for row in sealed) == Counter(f"gw:{n + 1:04}" for n in range(9))
    documents = service.books.documents()
    assert [(d["number"], d["customer"]) for d in documents] == [
        ("pay-phone-000001", "cus_0"),
        ("pay-phone-000002", "cus_1"),
    ]
    for customer, calls in (("cus_0", 5), ("cus_1", 4)):
        verdict = service.check(service.invoice(customer), service.evidence(customer))
        assert (verdict.wrong, verdict.calls, verdict.proven) == ((), calls, calls)
