"""`payphone invoice export`: closed invoices for people, spreadsheets and other billing systems."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import Failure, escape, print_json, show
from infra.cli.context import AsJson, OnStage

if TYPE_CHECKING:
    from functions.billing.books import Books
    from infra.place import Place


class Format(StrEnum):
    """What there is."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"
    FOCUS = "focus"
    STRIPE = "stripe"


def export(
    ctx: typer.Context,
    number: Annotated[
        str | None, typer.Argument(metavar="[NUMBER]", help="One invoice or credit note.")
    ] = None,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="All of a month.")] = None,
    form: Annotated[Format, typer.Option("--format", help="The form.")] = Format.JSON,
    out: Annotated[Path | None, typer.Option("--out", help="A file, not standard output.")] = None,
    stripe_customer: Annotated[
        str | None, typer.Option("--stripe-customer", metavar="ID", help="Stripe's id of the customer.")
    ] = None,
    stripe_meter: Annotated[
        str, typer.Option("--stripe-meter", metavar="EVENT", help="The meter's event name.")
    ] = "payphone_calls",
    send: Annotated[
        bool, typer.Option("--send", help="Send the events to Stripe, with the key in STRIPE_API_KEY.")
    ] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Export closed invoices as JSON, CSV, a page to print, FOCUS, or Stripe meter events.

    Meter events are only printed unless you --send them; sending them again within a day counts once.

    Example: payphone invoice export payphone-000001 --format html --out invoice.html
    """
    place = context.place(ctx, stage)
    books = context.books(ctx, place)
    if (number is None) == (month is None):
        raise Failure("either an invoice's number or --month was expected")
    chosen = [books.get(number)] if number else [d for d in books.documents() if d["month"] == month]
    if not chosen:
        raise Failure(
            f"{month} has no closed invoices: payphone invoice close --month {month}{context.on(stage)}"
        )
    if form is Format.STRIPE:
        text = _stripe(books, chosen, stripe_customer, stripe_meter, send=send)
    else:
        text = _text(place, form, chosen)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        what = {"text": text} if out is None else {"file": str(out)}
        return print_json({"format": form.value, "documents": [d["number"] for d in chosen], **what})
    if out is None:
        sys.stdout.write(text)
    else:
        show(f"Wrote {escape(str(out))}.")


def _text(place: Place, form: Format, chosen: list[dict[str, Any]]) -> str:
    from functions.billing.exports import page, tables

    if form is Format.JSON:
        return json.dumps(chosen if len(chosen) > 1 else chosen[0], indent=2, ensure_ascii=False) + "\n"
    if form is Format.CSV:
        return tables.charges_csv(chosen)
    if form is Format.FOCUS:
        return tables.focus_csv(chosen)
    if len(chosen) > 1:
        raise Failure(f"a page has one invoice, and there are {len(chosen)}: give a number")
    names = context.names_by_id(place)
    return page.page(chosen[0], names.get(chosen[0]["customer"], "(erased)"))


def _stripe(
    books: Books, chosen: list[dict[str, Any]], customer: str | None, meter: str, *, send: bool
) -> str:
    from functions.billing.exports.meters import send_to_stripe, stripe_events

    if len(chosen) > 1 or chosen[0]["type"] != "invoice" or not customer:
        raise Failure("one invoice's number and --stripe-customer were expected")
    events = stripe_events(books.rows(chosen[0]), chosen[0]["number"], customer, meter)
    if send:
        send_to_stripe(_stripe_client(), events, context.now_ms())
    return json.dumps({"sent": send, "events": events}, indent=2) + "\n"


def _stripe_client() -> Any:
    try:
        stripe = import_module("stripe")  # only who sends needs it
    except ImportError:
        raise Failure("the package stripe is not installed: pip install stripe") from None
    key = os.environ.get("STRIPE_API_KEY")
    if not key:
        raise Failure("STRIPE_API_KEY is not set: put your Stripe secret key there")
    return stripe.StripeClient(key)
