"""What `payphone quickstart` shows on the way, for people."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import typer

from infra.cli import context
from infra.cli.console import escape, show, table
from infra.cli.model_facts import CANDIDATE_COLUMNS, candidates
from infra.quickstart import CUSTOMER

if TYPE_CHECKING:
    from infra.pipeline import Built
    from infra.quickstart import Exchange

PROOF = {"published": "green", "passed": "none", "refused": "red"}
STYLES = {"answered": "green", "replayed": "cyan", "refused": "yellow"}


def tell_built(built: Built) -> None:
    """The model: how good it is, and how its conversions held up."""
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
    rows = [(*cells, f"[{PROOF[proof]}]{proof}[/]") for *cells, proof in candidates(manifest)]
    show(table(CANDIDATE_COLUMNS, rows, "Converted models against Keras, from raw text to score"))
    show(f"[bold]Publish[/]  {manifest.name} version {manifest.version}, {parity.rows:,} rows proven.")


def tell_calls(exchanges: list[Exchange]) -> None:
    """The calls, one a row."""
    rows = [
        (escape(e.sent), str(e.status), escape(e.answer), f"[{STYLES[e.effect]}]{e.effect}[/]")
        for e in exchanges
    ]
    show(table(("What the customer sent", ">HTTP", "What came back", ""), rows, "Calls"))


RECORDS = {
    "ledger_rows": ("DynamoDB, the ledger", "a row a call, durable before its answer leaves"),
    "archive_rows": ("S3, the archive", "from the ledger's stream; invoices are made of it"),
    "access_log_rows": ("S3, the access log", "written by API Gateway, which knows no ledger"),
}


def tell_found(found: dict[str, int]) -> None:
    """Where a stage has written the billed calls down; nothing to tell of a local server."""
    if found:
        rows = [(*RECORDS[name], str(count)) for name, count in found.items()]
        show(table(("Written down in", "", ">Billed calls"), rows, "Three records of the same calls"))


def tell_sums(counts: dict[str, int], billed: int, seconds: float) -> None:
    """What was billed, in a sentence."""
    show(
        f"[bold]{counts['answered']} calls answered, {billed} billed.[/] "
        f"{counts['replayed']} replayed and {counts['refused']} refused: not billed. {seconds:.0f} s.",
        "",
    )


def tell_next_here(ctx: typer.Context, model: str, key: str) -> None:
    """How to go on with the local server."""
    port, program = context.PORT, escape(_program(ctx))
    show(
        "Go on with:",
        f"  [cyan]{program} serve --port {port}[/]",
        f"  [cyan]curl http://127.0.0.1:{port}/v1/models/{model}/predict -H 'x-api-key: {key}' \\\\[/]",
        "  [cyan]  -H 'content-type: application/json' -d '{\"instances\": \\[\"I liked it.\"]}'[/]",
        f"  [cyan]{program} usage[/]",
        f"  [cyan]{program} invoice show {CUSTOMER[1]}[/]",
        f"  [cyan]{program} --help[/]",
    )


def tell_next_on_aws(ctx: typer.Context, url: str, model: str, key: str, stage: str | None) -> None:
    """How to go on with a stage; one on the local AWS is gone by then."""
    program = escape(_program(ctx))
    if stage is None:
        return show(
            "The local AWS has ended, and all of this with it. On an account of your own it is",
            f"  [cyan]{program} quickstart --cloud --stage dev[/]     the same as you have seen",
            f"  [cyan]{program} doctor --stage dev[/]                 checks what only a real account shows",
            f"  [cyan]{program} destroy --stage dev[/]                takes it down again",
        )
    on = context.on(stage)
    show(
        "Go on with:",
        f"  [cyan]curl {url}/v1/models/{model}/predict -H 'x-api-key: {key}' \\\\[/]",
        "  [cyan]  -H 'content-type: application/json' -d '{\"instances\": \\[\"I liked it.\"]}'[/]",
        f"  [cyan]{program} usage{on}[/]",
        f"  [cyan]{program} invoice show {CUSTOMER[1]}{on}[/]",
        f"  [cyan]{program} reconcile{on}[/]",
        f"  [cyan]{program} doctor{on}[/]",
        f"  [cyan]{program} destroy{on}[/]",
    )


def _program(ctx: typer.Context) -> str:
    """How to call this program again, with the same state and settings."""
    name = "payphone" if shutil.which("payphone") else os.path.relpath(sys.argv[0])
    given, usual = context.places(ctx), context.DEFAULT_STATE
    state = "" if given.state == usual else f" --state {given.state}"
    service = "" if given.service == context.DEFAULT_SERVICE else f" --service {given.service}"
    return name + state + service
