"""`payphone quickstart`: the whole way from a Keras LSTM to an invoice, shown step by step."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import escape, show, size_text, table
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from functions.billing.invoices import Invoice
    from infra.pipeline import Built
    from infra.quickstart import Exchange

MODEL = "sentiment"
STYLES = {"answered": "green", "replayed": "cyan", "refused": "yellow"}


def quickstart(
    ctx: typer.Context,
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Train anew even if nothing has changed.")] = False,
) -> None:
    """Train a model, prove its conversion, serve it, sell calls to a customer, and invoice them.

    Ends with one line of JSON under --json: accuracy, parity, model_bytes, calls_answered,
    calls_refused, calls_replayed, calls_billed, invoice_total, currency, seconds.

    Example: payphone quickstart
    """
    from infra.cli.invoice import drafts, invoice_table
    from infra.cli.progress import StepBars
    from infra.pipeline import build
    from infra.plans import publish_plans
    from infra.quickstart import Unexpected, call_as_a_customer, count_rows, customer_with_key, running_server

    started = time.monotonic()
    place, settings = context.workspace(ctx), context.settings(ctx)
    with StepBars() as bars:
        built = build(MODEL, place, bars.on_progress, force=force)
    place.registry().promote(MODEL, built.manifest.version)
    if not as_json:
        _tell_built(built)

    publish_plans(settings, place)
    customer, key = customer_with_key(place)
    before = count_rows(place, customer.customer_id)
    exchanges: list[Exchange] = []
    with running_server(place.root, context.places(ctx).service, place.logs / "quickstart-server.log") as url:
        if not as_json:
            show(f"[bold]Serve[/]    {MODEL} answers at {url}, {escape(customer.name)} has a key.")
        with nullcontext() if as_json else _waiting("Calling as a customer would"):
            exchanges.extend(call_as_a_customer(url, key, MODEL, built.examples))
    billed = count_rows(place, customer.customer_id) - before
    counts = {effect: sum(e.effect == effect for e in exchanges) for effect in STYLES}
    (invoice,) = drafts(place, _this_month(), customer.customer_id)
    summary = _summary(built, counts, billed, invoice, time.monotonic() - started)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _tell_calls(exchanges)
        show(invoice_table(invoice, customer.name))
        _tell_end(counts, billed, key, _program(ctx), summary["seconds"])
    if counts["answered"] != billed:
        raise Unexpected(f"{counts['answered']} calls were answered and {billed} billed")


def _tell_built(built: Built) -> None:
    manifest, training = built.manifest, built.manifest.training
    metric, parity = training["metric"], manifest.parity
    if built.reused:
        show("[dim]Nothing has changed since the last run: the trained and proven model is used again.[/]")
    show(f"[bold]Accuracy[/] {metric['value']:.3f} on {metric['rows']:,} reviews that training never saw.")
    for reference in training["references"]:
        show(
            f"         [dim]{reference['value']:.3f} {escape(reference['name'])}: "
            f"{escape(reference['note'])}[/]"
        )
    rows = [
        (
            candidate["quantization"],
            size_text(candidate["bytes"]),
            f"{candidate['rows']:,}",
            f"{candidate['agreement']:.4%}",
            f"{candidate['max_diff']:.2g}",
            "[green]published[/]"
            if candidate["chosen"]
            else "passed"
            if candidate["passed"]
            else "[red]refused[/]",
        )
        for candidate in training["candidates"]
    ]
    columns = ("Converted as", ">Size", ">Rows compared", ">Labels agree", ">Largest difference", "Proof")
    show(table(columns, rows, "Converted models against Keras, from raw text to score"))
    show(f"[bold]Publish[/]  {manifest.name} version {manifest.version}, {parity.rows:,} rows proven.")


def _tell_calls(exchanges: list[Exchange]) -> None:
    rows = [
        (escape(e.sent), str(e.status), escape(e.answer), f"[{STYLES[e.effect]}]{e.effect}[/]")
        for e in exchanges
    ]
    show(table(("What the customer sent", ">HTTP", "What came back", ""), rows, "Calls"))


def _program(ctx: typer.Context) -> str:
    """How to call this program again, with the same state and settings."""
    name = "payphone" if shutil.which("payphone") else os.path.relpath(sys.argv[0])
    given, usual = context.places(ctx), context.DEFAULT_STATE
    state = "" if given.state == usual else f" --state {given.state}"
    service = "" if given.service == context.DEFAULT_SERVICE else f" --service {given.service}"
    return name + state + service


def _tell_end(counts: dict[str, int], billed: int, key: str, program: str, seconds: float) -> None:
    port, program = context.PORT, escape(program)
    show(
        f"[bold]{counts['answered']} calls answered, {billed} billed.[/] "
        f"{counts['replayed']} replayed and {counts['refused']} refused: not billed. {seconds:.0f} s.",
        "",
        "Go on with:",
        f"  [cyan]{program} serve --port {port}[/]",
        f"  [cyan]curl http://127.0.0.1:{port}/v1/models/{MODEL}/predict -H 'x-api-key: {key}' \\\\[/]",
        "  [cyan]  -H 'content-type: application/json' -d '{\"instances\": \\[\"I liked it.\"]}'[/]",
        f"  [cyan]{program} usage[/]",
        f"  [cyan]{program} invoice show ada@example.com[/]",
        f"  [cyan]{program} --help[/]",
    )


def _summary(
    built: Built, counts: dict[str, int], billed: int, invoice: Invoice, seconds: float
) -> dict[str, Any]:
    parity = built.manifest.parity
    return {
        "accuracy": round(built.manifest.training["metric"]["value"], 4),
        "parity": {"rows": parity.rows, "agreement": parity.agreement, "max_diff": parity.max_diff},
        "model_bytes": built.manifest.model.size,
        "calls_answered": counts["answered"],
        "calls_refused": counts["refused"],
        "calls_replayed": counts["replayed"],
        "calls_billed": billed,
        "invoice_total": format(invoice.total, "f"),
        "currency": invoice.currency,
        "seconds": round(seconds, 1),
    }


def _this_month() -> str:
    from functions.metering.usage import month_of

    return month_of(context.now_ms())


def _waiting(text: str) -> Any:
    from infra.cli.console import console

    return console().status(text)
