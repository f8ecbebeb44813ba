"""`payphone model catalog`: every model that comes with Payphone, built, published, timed and reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.console import FAILED, escape, show, table
from infra.cli.context import AsJson, workspace

AT_A_TIME = min(2, os.cpu_count() or 1)  # frameworks use several cores themselves


def catalog(
    ctx: typer.Context,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="How many models are built side by side.")
    ] = AT_A_TIME,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write the report there too, as Markdown.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--time-again", help="Time models that were timed before, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train, convert, prove, publish and time all models of the catalog; what has not changed is reused.

    With --json the last line is a list with one object a model. A model whose data can't be had is named with
    the reason and left out: a failure, unless its data comes from an address of its own.

    Example: payphone model catalog --jobs 1
    """
    from infra.catalog.build import build_all, may_be_missing
    from infra.catalog.report import COLUMNS, cells, figures
    from infra.catalog.report import page as written
    from infra.catalog.timing import time_alone
    from infra.cli.progress import ModelBars
    from infra.progress import Progress, under_way
    from models.catalog.entries import CATALOG, load_entry

    place = workspace(ctx)
    with ModelBars() as bars:
        built, missing = build_all(list(CATALOG), place, bars.on_model, jobs)
        lines = []
        for number, (name, item) in enumerate(built.items()):
            bars.on_model("timing", under_way("time", f"One instance of {name}, alone", number, len(built)))
            lines.append(figures(item, time_alone(item, place, again=again)))
        bars.on_model("timing", Progress("publish", f"{len(built)} models are timed", 1, 1, {}))
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(written(lines, built, {name: load_entry(name) for name in built}), "utf-8")
    if not as_json:
        show(table(COLUMNS, [tuple(map(escape, cells(line))) for line in lines]))
    for name, item in built.items():
        version, live = item.manifest.version, place.registry().live(name)
        if version != live:
            hint = f"`payphone model promote {name} {version}`"
            typer.secho(f"{name} {live} still answers calls, not {version}: {hint}", err=True)
    for name, reason in missing.items():
        typer.secho(f"{name} is missing: {reason}", err=True)
    if as_json:
        typer.echo(json.dumps(lines))
    if not all(map(may_be_missing, missing)):
        raise typer.Exit(FAILED)
