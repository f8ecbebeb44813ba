"""Billing: ten million calls of a thousand customers, priced and closed.

The calls are of one month, at random to 1,000 customers on two plans, three models and two kinds, with
free calls, graduated tiers, a fee, a discount and a tax. Writing the daybook (canonical rows, Merkle
roots, Parquet) is work of each day and is measured by itself; rows come from memory, so reading the
ledger is not in it. Closing runs in a process of its own, on one core: every file's SHA-256 is checked,
the rows are counted by DuckDB, priced, and 1,000 invoices are numbered, chained and written durably, each
with its days' roots. Holding ledger and access log against each other (`reconcile`) is not in it.
"""

import json
import random
import subprocess
import sys
from collections.abc import Collection, Iterator
from time import process_time

from functions.billing.daybook import Daybook
from functions.metering.event import UsageEvent
from functions.metering.usage import days_of, month_span
from infra.plans import publish_plans
from infra.service import load
from models.store import LocalStore
from tests.benchmarks.cores import one_core
from tests.benchmarks.part import ROOT, Bench, Part, Table

ROWS = {"quick": 200_000, "full": 10_000_000}
FIGURES = ("invoice_rows_per_cpu_s", "invoice_peak_mb", "daybook_rows_per_cpu_s")
CUSTOMERS = 1_000
MONTH = "2026-10"
SERVICE = """
[service]
name = "Benchmark"
currency = "USD"
[models]
serve = ["iris", "digits", "sentiment"]
[plans.starter]
price_per_call = 0.002
free_calls = 1_000
[plans.pro]
monthly_fee = 49
price_per_call = 0.0008
discount = { percent = 10 }
taxes = [{ name = "VAT", percent = 19 }]
[[plans.pro.prices]]
model = "sentiment"
tiering = "graduated"
tiers = [{ up_to = 1_000, price = 0.002 }, { up_to = 5_000, price = 0.001 }, { price = 0.0005 }]
"""


class Made:
    """A reader that makes its rows as it is read."""

    def __init__(self, plans: Collection[str], count: int) -> None:
        self._plans = sorted(plans)
        self._days = [*days_of(*month_span(MONTH))]
        self._a_day = count // len(self._days)
        self.count = self._a_day * len(self._days)

    def rows(
        self, start: int, end: int, customer: str | None = None, *, among: Collection[str] | None = None
    ) -> Iterator[UsageEvent]:
        """A day's rows in the order of time; `customer` and `among` are not looked at."""
        chance = random.Random(start)
        for number in range(self._a_day):
            payer, kind = chance.randrange(CUSTOMERS), chance.random()
            yield UsageEvent(
                call_id=f"gw:{chance.getrandbits(128):032x}",
                attempts=(),
                key_id=f"key_{payer:016d}",
                customer=f"cus_{payer:016d}",
                plan=self._plans[payer % len(self._plans)],
                model=("iris", "digits", "sentiment")[chance.randrange(3)],
                version="1",
                kind="predict" if kind < 0.9 else "explain",
                units=chance.randint(1, 8),
                bytes_in=chance.randint(20, 2_000),
                started_at=start + number * (end - start) // self._a_day,
                fingerprint="",
                nonce=f"{chance.getrandbits(128):032x}",
            )

    def stamps(self, start: int, end: int) -> dict[str, str]:
        """Nothing here ever changes."""
        return {day: "1" for day, *_ in days_of(start, end)}


def measure(bench: Bench) -> Part:
    """Write the daybook, then close."""
    workspace = bench.workspace()
    service = workspace.root / "billing.toml"
    service.write_text(SERVICE)
    plans = [limits.version for limits in publish_plans(load(service), workspace).values()]
    usage = Made(plans, ROWS["quick" if bench.quick else "full"])
    daybook = Daybook(LocalStore(workspace.invoices))
    began = process_time()
    for day, start, end in days_of(*month_span(MONTH)):
        bench.step(f"writing {usage.count:,} rows into the daybook: {day}")
        daybook.write(usage, start, end)
    written = process_time() - began
    bench.step("closing the month")
    command = [sys.executable, "-m", "tests.benchmarks.billing_close", str(workspace.root), MONTH]
    with one_core():
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    closed = json.loads(done.stdout)
    assert (closed["calls"], closed["invoices"]) == (usage.count, CUSTOMERS)
    size = sum(file.stat().st_size for file in workspace.invoices.glob("rows/*/*.parquet"))
    rows = [
        ("writing the daybook", f"{written:.1f}", f"{usage.count / written:,.0f}", ""),
        (
            "closing: checked, counted, priced, written",
            f"{closed['seconds']:.1f}",
            f"{usage.count / closed['seconds']:,.0f}",
            f"{closed['peak_mb']:.0f}",
        ),
    ]
    title = (
        f"{usage.count:,} calls, {closed['invoices']:,} invoices, {size / usage.count:.0f} bytes a call kept"
    )
    table = Table(title, ("step", "CPU s", "rows a CPU s", "peak MB"), rows)
    rate = usage.count / closed["seconds"]
    figures = (
        "a quick run has too few rows" if bench.quick else rate,
        closed["peak_mb"],
        usage.count / written,
    )
    return Part([table], dict(zip(FIGURES, figures, strict=True)))
