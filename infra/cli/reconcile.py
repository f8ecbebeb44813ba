"""`payphone reconcile`: does the access log, the ledger and the invoices say the same, call by call?"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import FAILED, escape, print_json, show, table
from infra.cli.context import AsJson, Month, OnStage, find_payer

if TYPE_CHECKING:
    from functions.billing.books import Books
    from functions.billing.reconcile import Finding, Report
    from infra.place import Place

SHOWN = 50


def reconcile(
    ctx: typer.Context,
    month: Month = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only this customer.")] = None,
    credit: Annotated[
        bool, typer.Option("--credit", help="Issue credit notes to what was billed and should not have been.")
    ] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Hold access log, ledger and invoices against each other; exit code 0 only if they agree.

    Example: payphone reconcile --month 2026-11
    """
    from infra.evidence import examine, examine_books

    assert month is not None
    place = context.place(ctx, stage)
    books = context.books(ctx, place)
    of = find_payer(place, customer) if customer else None
    report = examine(place, books, month, of)
    notes = _credit(place, books, report, context.now_ms()) if credit else []
    if notes:
        report = examine(place, books, month, of)
    closed = books.closed(month) is not None
    findings = [*report.findings, *(examine_books(place, books, month, of) if closed else [])]
    if as_json:
        print_json(_document(report, findings, notes, closed=closed, customer=of))
    else:
        _tell(report, findings, notes, closed=closed)
    if findings:
        raise typer.Exit(FAILED)


def _credit(place: Place, books: Books, report: Report, now_ms: int) -> list[dict[str, Any]]:
    """Credit the calls that must not be billed, on the invoices that bill them."""
    from functions.billing.closing import credit_calls
    from functions.billing.settling import settle
    from infra.evidence import billed_rows

    wrong: dict[str, list[str]] = {}
    for number, row in billed_rows(books, report.month):
        if row.call_id in report.left_out:
            wrong.setdefault(number, []).append(row.call_id)
    reason = "calls that were billed and, by the access log, should not have been"
    book = place.plan_book()
    notes = [credit_calls(number, calls, reason, books, book, now_ms) for number, calls in wrong.items()]
    with closing(place.accounts()) as accounts:
        settle(report.month, books, book, accounts, now_ms)
    return notes


def _document(
    report: Report,
    findings: list[Finding],
    notes: list[dict[str, Any]],
    *,
    closed: bool,
    customer: str | None,
) -> dict[str, Any]:
    from functions.billing.amounts import instant_text

    return {
        "month": report.month,
        "customer": customer,
        "status": "closed" if closed else "open",
        "agrees": not findings,
        "answered": report.answered,
        "billed": report.rows,
        "agreed": report.agreed,
        "watermark": instant_text(report.watermark) if report.watermark else None,
        "log_complete": report.complete,
        "counts": dict(sorted(Counter(finding.what for finding in findings).items())),
        "findings": [finding._asdict() for finding in findings],
        "credit_notes": [note["number"] for note in notes],
    }


def _tell(report: Report, findings: list[Finding], notes: list[dict[str, Any]], *, closed: bool) -> None:
    from functions.billing.amounts import instant_text

    for note in notes:
        show(f"Issued {note['number']} to {note['invoice']}: {note['total']} {note['currency']}.")
    third = "invoices" if closed else "draft invoices"
    until = f"log until {instant_text(report.watermark)}" if report.watermark else "no log"
    if not findings:
        same = f"access log = ledger = {third}, {report.rows:,} calls; {until}."
        show(f"[bold green]{report.month} agrees[/]: {same}")
        return
    rows = [(f.what, escape(f.call), f.customer, escape(f.detail)) for f in findings[:SHOWN]]
    show(
        table(("Finding", "Call", "Customer", ""), rows, f"{report.month} does not agree"),
        f"{len(findings):,} findings; {report.agreed:,} of {report.rows:,} billed calls agree; {until}.",
    )
    if len(findings) > SHOWN:
        show("All of them: [bold]--json[/]")
