"""`payphone invoice`: what the month costs whom, computed from the ledger's rows each time."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.console import escape, print_json, show, table
from infra.cli.context import AsJson, CustomerArgument, Month, find_payer, names_by_id, workspace

if TYPE_CHECKING:
    from rich.table import Table

    from functions.billing.invoices import Invoice
    from infra.workspace import Workspace

ERASED = "(erased)"

app = typer.Typer(help="Preview invoices and look at one.", no_args_is_help=True)


@app.command()
def preview(
    ctx: typer.Context,
    month: Month = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only this customer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each customer owes for a month, one line each.

    Example: payphone invoice preview --month 2026-11
    """
    assert month is not None
    place = workspace(ctx)
    names = names_by_id(place)
    invoices = drafts(place, month, find_payer(place, customer) if customer else None)
    if as_json:
        summaries = [
            {
                "customer": invoice.customer,
                "currency": invoice.currency,
                "calls": invoice.calls,
                "total": format(invoice.total, "f"),
            }
            for invoice in invoices
        ]
        return print_json({"month": month, "status": "draft", "invoices": summaries})
    if not invoices:
        return show(f"Nothing to invoice for {month}.")
    rows = [
        (
            escape(names.get(invoice.customer, ERASED)),
            invoice.customer,
            f"{invoice.calls:,}",
            f"{sum(line.free for line in invoice.lines):,}",
            f"{invoice.total:,f}",
            invoice.currency,
        )
        for invoice in invoices
    ]
    columns = ("Customer", "Id", ">Calls", ">Free", ">Amount", "")
    show(
        table(columns, rows, f"Draft invoices, {month} (UTC)"),
        "One in full: [bold]payphone invoice show CUSTOMER[/]",
    )


@app.command("show")
def show_(
    ctx: typer.Context, customer: CustomerArgument, month: Month = None, as_json: AsJson = False
) -> None:
    """Show a customer's invoice for a month, line by line.

    Example: payphone invoice show ada@example.com --month 2026-11
    """
    assert month is not None
    place = workspace(ctx)
    of = find_payer(place, customer)
    name = names_by_id(place).get(of, ERASED)
    invoices = drafts(place, month, of)
    if as_json:
        return print_json({"month": month, "customer": of, "invoices": [i.document() for i in invoices]})
    if not invoices:
        return show(f"{escape(name)} has no calls and no fee in {month}: nothing to invoice.")
    for invoice in invoices:
        show(
            invoice_table(invoice, name),
            f"Made of {invoice.calls:,} ledger rows, SHA-256 {invoice.rows_sha256}",
        )


def drafts(place: Workspace, month: str, customer: str | None = None) -> list[Invoice]:
    """The draft invoices of a month, of one customer or of all."""
    from functions.billing.invoices import draft_invoices, plans_held

    with closing(place.keys()) as keys:
        held = plans_held(keys.list(customer), month)
    return draft_invoices(month, place.usage(), place.plan_book(), held, customer)


def invoice_table(invoice: Invoice, name: str) -> Table:
    """An invoice as a table, with its total as the last row."""
    from functions.billing.plans import decimal_text

    rows = [
        (
            escape(line.description),
            line.plan,
            f"{line.quantity:,}",
            f"{line.free:,}" if line.free else "",
            decimal_text(line.unit_price),
            f"{line.amount:,f}",
        )
        for line in invoice.lines
    ]
    total = ("[bold]Total[/]", "", "", "", "", f"[bold]{invoice.total:,f}[/]")
    amount = f">Amount, {invoice.currency}"
    columns = ("Item", "Plan version", ">Quantity", ">Free", ">Unit price", amount)
    title = f"Draft invoice, {invoice.month} (UTC): {escape(name)}, {invoice.customer}"
    return table(columns, [*rows, total], title)
