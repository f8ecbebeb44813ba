"""`payphone archive`: a stage's archive, which usage and invoices are read from."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.console import FAILED, escape, print_json, show
from infra.cli.context import AsJson, StageOption, target

SHOWN = 20

app = typer.Typer(help="Look after a stage's archive.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `rebuild` a command of its own, alone as it is."""


@app.command()
def rebuild(
    ctx: typer.Context,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="FOLDER", help="One in the archive bucket. Default: a new one."),
    ] = None,
    stage: StageOption = None,
    as_json: AsJson = False,
) -> None:
    """Bring every row of the ledger into the archive, through an export of the table.

    For rows that the stream did not bring within its 24 hours. What is there already stays as it is.
    Exit code 1 if the table holds something that is no usage row; all others are archived then.

    Example: payphone archive rebuild --stage prod
    """
    from infra.cloud import rebuild as rebuilding
    from infra.cloud.stage import Stage

    there = Stage(target(ctx, stage))
    names, dynamodb = there.outputs, there.target.client("dynamodb")
    if export is None and not as_json:
        show("DynamoDB exports the ledger, which takes some minutes …")
    folder = export or rebuilding.export(dynamodb, names["LedgerTable"], names["ArchiveBucket"])
    done = rebuilding.rebuild(there.archive(), folder)
    if as_json:
        print_json({"export": folder, "rows": done.rows, "refused": list(done.refused)})
    else:
        show(f"{done.rows:,} rows of {escape(folder)} are in the archive.")
        for place in done.refused[:SHOWN]:
            show(f"[red]No usage row[/]: {escape(place)}")
    if done.refused:
        raise typer.Exit(FAILED)
