"""Billing: how many ledger rows an invoice run takes a CPU second, from SQLite to the priced total."""

import os
import random
from contextlib import closing
from time import thread_time_ns

from functions.billing.invoices import draft_invoices
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span
from infra.plans import publish_plans
from infra.service import load
from tests.benchmarks.part import Bench, Part, Table

ROWS = {"quick": 20_000, "full": 200_000}
FIGURES = ("invoice_rows_per_cpu_s",)
CUSTOMERS = 20
MONTH = "2026-10"
SERVICE = """
[service]
name = "Benchmark"
currency = "USD"
[models]
serve = ["iris"]
[plans.pro]
monthly_fee = 49
price_per_call = 0.0008
free_calls = 1_000
"""


def measure(bench: Bench) -> Part:
    """One run over the rows of some customers' month."""
    workspace = bench.workspace()
    service = workspace.root / "billing.toml"
    service.write_text(SERVICE)
    plan = publish_plans(load(service), workspace)["pro"]
    count = ROWS["quick" if bench.quick else "full"]
    bench.step(f"writing {count:,} ledger rows")
    start, end = month_span(MONTH)
    chance = random.Random(7)
    with closing(workspace.ledger()) as ledger:
        tickets = [ledger.append(_row(chance, plan.version, start, end)) for _ in range(count)]
        for ticket in tickets:
            ticket.outcome()
    bench.step("computing the invoices")
    with closing(workspace.usage()) as usage:
        began = thread_time_ns()
        invoices = draft_invoices(MONTH, usage, workspace.plan_book(), {})
        seconds = (thread_time_ns() - began) / 1e9
    assert sum(invoice.calls for invoice in invoices) == count
    rows = [(f"{count:,}", str(len(invoices)), f"{seconds:.2f}", f"{count / seconds:,.0f}")]
    table = Table("Billing", ("ledger rows", "invoices", "CPU s", "rows a CPU s"), rows)
    return Part([table], {"invoice_rows_per_cpu_s": count / seconds})


def _row(chance: random.Random, plan: str, start: int, end: int) -> UsageEvent:
    attempt = os.urandom(16).hex()
    return UsageEvent(
        call_id=f"gw:{attempt}",
        attempts=(attempt,),
        key_id="key_0000000000000001",
        customer=f"cus_{chance.randrange(CUSTOMERS):016d}",
        plan=plan,
        model="iris",
        version="1",
        kind="predict",
        units=chance.randint(1, 8),
        bytes_in=40,
        started_at=chance.randrange(start, end),
        fingerprint="",
    )
