"""`payphone invoice`: what a month costs whom; closing it, mending what was billed wrongly, exporting."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context, export
from infra.cli.bills import bill_columns, bill_rows, money
from infra.cli.console import Failure, escape, print_json, show, table
from infra.cli.context import AsJson, Month, OnStage, books, find_payer, names_by_id, on

if TYPE_CHECKING:
    from rich.table import Table

    from functions.billing.books import Books
    from functions.billing.invoices import Invoice
    from infra.place import Place

ERASED = "(erased)"

app = typer.Typer(help="Preview, close, show, mend and export invoices.", no_args_is_help=True)


@app.command()
def preview(
    ctx: typer.Context,
    month: Month = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only this customer.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show what each customer owes for a month, one line each.

    Example: payphone invoice preview --month 2026-11
    """
    assert month is not None
    place = context.place(ctx, stage)
    names = names_by_id(place)
    status, invoices = _documents(ctx, place, month, find_payer(place, customer) if customer else None)
    if as_json:
        summaries = [
            {
                "customer": invoice["customer"],
                "currency": invoice["currency"],
                "calls": invoice["rows"]["count"],
                "total": invoice["total"],
            }
            for invoice in invoices
        ]
        return print_json({"month": month, "status": status, "invoices": summaries})
    if not invoices:
        return show(f"Nothing to invoice for {month}.")
    rows = [
        (
            escape(names.get(invoice["customer"], ERASED)),
            invoice["customer"],
            f"{invoice['rows']['count']:,}",
            f"{sum(line['free'] for line in invoice['lines']):,}",
            money(invoice["total"]),
            invoice["currency"],
        )
        for invoice in invoices
    ]
    columns = ("Customer", "Id", ">Calls", ">Free", ">Amount", "")
    show(
        table(columns, rows, f"{status.capitalize()} invoices, {month} (UTC)"),
        f"One in full: [bold]payphone invoice show CUSTOMER{on(stage)}[/]",
    )


@app.command()
def close(
    ctx: typer.Context,
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="UTC month.")],
    early: Annotated[
        bool, typer.Option("--early", help="Before the month is over; later calls go on the next invoice.")
    ] = False,
    leave_out_unproven: Annotated[
        bool, typer.Option("--leave-out-unproven", help="Don't bill calls that the access log lacks.")
    ] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Make the invoices of a month final, once its access log is complete.

    Calls that the log says were answered with a failure are left out. Closing again changes nothing.

    Example: payphone invoice close --month 2026-11
    """
    from functions.billing.citations import Citations
    from functions.billing.closing import close_month
    from functions.billing.invoices import plans_held
    from functions.billing.settling import settle
    from infra.cli.progress import StepBars
    from infra.daybook import write_daybook
    from infra.evidence import what_to_leave_out

    _check_month(month)
    place, now_ms = context.place(ctx, stage), context.now_ms()
    ours = books(ctx, place)
    if mark := ours.closed(month):
        left_out = mark["left_out"]
    else:
        left_out = what_to_leave_out(place, ours, month, now_ms, early=early, unproven_too=leave_out_unproven)
        with StepBars() as bars:
            write_daybook(place, ours, month, bars.on_progress)
    book = place.plan_book()
    with closing(place.keys()) as keys, closing(place.usage()) as usage, place.sealing() as sealer:
        held = plans_held(keys.list(), month, book.in_force)
        prover = Citations(ours, place.seals(), sealer)
        invoices = close_month(month, usage, book, held, ours, now_ms, left_out, prover)
    with closing(place.accounts()) as accounts:
        settled = settle(month, ours, book, accounts, now_ms)
    if as_json:
        return print_json({"month": month, "status": "closed", "left_out": left_out, "invoices": invoices})
    show(f"{month} is closed: {len(invoices)} invoices, {len(left_out)} calls left out.")
    if settled:
        show(f"{len(settled)} wallet entries posted; see `payphone wallet show CUSTOMER`.")
    if invoices:
        show(_list_table(invoices, names_by_id(place)))


@app.command("list")
def list_(
    ctx: typer.Context,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Only this month.")] = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only this customer.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """List closed invoices and credit notes.

    Example: payphone invoice list --month 2026-11
    """
    place = context.place(ctx, stage)
    payer = find_payer(place, customer) if customer else None
    found = [
        document
        for document in books(ctx, place).documents()
        if month in (None, document["month"]) and payer in (None, document["customer"])
    ]
    if as_json:
        return print_json({"documents": found})
    if not found:
        return show(
            f"No closed invoices. Close a month: [bold]payphone invoice close --month YYYY-MM{on(stage)}[/]"
        )
    show(_list_table(found, names_by_id(place)))


@app.command("show")
def show_(
    ctx: typer.Context,
    customer: Annotated[
        str, typer.Argument(metavar="CUSTOMER|NUMBER", help="A customer, or a closed invoice's number.")
    ],
    month: Month = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's invoice for a month, or a closed invoice, line by line.

    Example: payphone invoice show ada@example.com --month 2026-11
    """
    assert month is not None
    place = context.place(ctx, stage)
    closed = _closed(books(ctx, place), customer)
    if closed:
        of, invoices = closed["customer"], [closed]
    else:
        of = find_payer(place, customer)
        _, invoices = _documents(ctx, place, month, of)
    name = names_by_id(place).get(of, ERASED)
    if as_json:
        return print_json(closed or {"month": month, "customer": of, "invoices": invoices})
    if not invoices:
        return show(f"{escape(name)} has no calls and no fee in {month}: nothing to invoice.")
    for document in invoices:
        if document.get("type") == "credit_note":
            show(
                _list_table([document], {of: name}), f"To {document['invoice']}: {escape(document['reason'])}"
            )
            continue
        rows = document["rows"]
        digest = f", SHA-256 {rows['sha256']}" if "sha256" in rows else ""
        show(_bill_table(document, name), f"Made of {rows['count']:,} ledger rows{digest}")


@app.command()
def credit(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The closed invoice.")],
    reason: Annotated[str, typer.Option("--reason", help="As the customer reads it.")],
    calls: Annotated[list[str] | None, typer.Option("--call", help="A call of it, by id; repeat.")] = None,
    amount: Annotated[str | None, typer.Option("--amount", help="Instead of calls, taxes included.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Issue a credit note: to calls that should not have been billed, or of an amount.

    Example: payphone invoice credit payphone-000001 --amount 5 --reason "goodwill"
    """
    from functions.billing.closing import credit_amount, credit_calls
    from functions.billing.settling import settle

    place, now_ms = context.place(ctx, stage), context.now_ms()
    ours = books(ctx, place)
    if not reason.strip() or not reason.isprintable():
        raise Failure("a reason of one line was expected")
    if bool(calls) == (amount is not None):
        raise Failure("either --call or --amount was expected")
    if calls:
        note = credit_calls(number, calls, reason, ours, place.plan_book(), now_ms)
    else:
        note = credit_amount(number, context.amount_of(amount or ""), reason, ours, now_ms)
    with closing(place.accounts()) as accounts:
        settle(note["month"], ours, place.plan_book(), accounts, now_ms)
    if as_json:
        return print_json(note)
    show(f"Credit note {note['number']} to {number}: {money(note['total'])} {note['currency']}.")


app.command("export")(export.export)


def drafts(place: Place, month: str, customer: str | None = None, ours: Books | None = None) -> list[Invoice]:
    """The draft invoices of a month, of one customer or of all; with books, late calls are on them."""
    from functions.billing.books import ClosedPast
    from functions.billing.invoices import draft_invoices, plans_held

    book = place.plan_book()
    with closing(place.keys()) as keys:
        held = plans_held(keys.list(customer), month, book.in_force)
    usage = place.usage()
    if ours is None:
        return draft_invoices(month, usage, book, held, customer)
    past, late = ClosedPast(ours, ours.documents()), ours.late_rows(month, usage, customer)
    return draft_invoices(month, usage, book, held, customer, past=past, late=late)


def invoice_table(invoice: Invoice, name: str) -> Table:
    """An invoice as a table, with its total as the last row."""
    return _bill_table(invoice.document(), name)


def _bill_table(document: dict[str, Any], name: str) -> Table:
    number = f" {document['number']}" if "number" in document else ""
    status = document["status"].capitalize()
    title = f"{status} invoice{number}, {document['month']} (UTC): {escape(name)}, {document['customer']}"
    return table(bill_columns(document), bill_rows(document), title)


def _list_table(documents: list[dict[str, Any]], names: dict[str, str]) -> Table:
    columns = ("Number", "", "Month", "Customer", "Id", "Issued", ">Amount", "")
    rows = [
        (
            d["number"],
            d["type"].replace("_", " "),
            d["month"],
            escape(names.get(d["customer"], ERASED)),
            d["customer"],
            d["issued_at"][:10],
            ("-" if d["type"] == "credit_note" else "") + money(d["total"]),
            d["currency"],
        )
        for d in documents
    ]
    return table(columns, rows)


def _documents(
    ctx: typer.Context, place: Place, month: str, customer: str | None
) -> tuple[str, list[dict[str, Any]]]:
    """A month's invoices and their status: the closed ones, or drafts while it is open."""
    ours = books(ctx, place)
    if ours.closed(month):
        return "closed", [d for d in ours.invoices(month) if customer in (None, d["customer"])]
    return "draft", [invoice.document() for invoice in drafts(place, month, customer, ours)]


def _closed(ours: Books, number: str) -> dict[str, Any] | None:
    return next((document for document in ours.documents() if document["number"] == number), None)


def _check_month(month: str) -> None:
    from functions.metering.usage import month_span

    try:
        month_span(month)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
