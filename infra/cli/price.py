"""`payphone price`: what usage costs on a plan, with nothing else around it: two files in, a bill out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import escape, print_json, show, table
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from infra.usage_file import PricedMonth


def price(
    plan: Annotated[
        Path,
        typer.Option(
            "--plan", metavar="PLAN.toml", help="A plan: a table as in service.toml, with its currency."
        ),
    ],
    usage: Annotated[
        Path,
        typer.Option("--usage", metavar="USAGE.csv", help="started_at,customer,model,kind,calls,units"),
    ],
    as_json: AsJson = False,
) -> None:
    """Price usage on a plan, by customer and month.

    Allowances, tiers and monthly fees are a customer's and a UTC month's own, so lines name both.
    In the JSON, total = subtotal - discounts - credits + taxes.

    Example: payphone price --plan pro.toml --usage november.csv --json
    """
    from infra import plan_file, usage_file

    loaded = plan_file.load(plan)
    priced = usage_file.price(usage, loaded)
    if as_json:
        return print_json({"plan": loaded.version, **_document(loaded.currency, priced)})
    for month in priced:
        show(_table(month))
    if not priced:
        show(f"{escape(str(usage))} has no usage.")


def _document(currency: str, priced: list[PricedMonth]) -> dict[str, Any]:
    """All bills as one, each line with its customer and month; and what each of them comes to."""
    from functions.billing.amounts import add_up
    from functions.billing.documents import bill_document

    bills = [
        {"customer": customer, "month": month, **bill_document(bill)} for customer, month, bill in priced
    ]
    merged: dict[str, Any] = {"currency": currency}
    for part in ("lines", "discounts", "credits", "taxes"):
        merged[part] = [
            {"customer": bill["customer"], "month": bill["month"], **entry}
            for bill in bills
            for entry in bill[part]
        ]
    merged["subtotal"] = format(add_up([month.bill.subtotal for month in priced], currency), "f")
    merged["total"] = format(add_up([month.bill.total for month in priced], currency), "f")
    sums = ("customer", "month", "subtotal", "total")
    merged["bills"] = [{name: bill[name] for name in sums} for bill in bills]
    order = ("currency", "lines", "subtotal", "discounts", "credits", "taxes", "total", "bills")
    return {name: merged[name] for name in order}


def _table(priced: PricedMonth) -> Any:
    from functions.billing.documents import bill_document
    from infra.cli.bills import bill_columns, bill_rows

    document = bill_document(priced.bill)
    title = f"{escape(priced.customer)}, {priced.month} (UTC)"
    return table(bill_columns(document), bill_rows(document), title)
