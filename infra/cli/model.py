"""`payphone model`: train what the catalog has, and choose which published version answers calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.cli import model_add, model_catalog
from infra.cli.console import Failure, escape, print_json, show, size_text, table
from infra.cli.context import AsJson, OnStage, place, target, workspace
from infra.cli.model_facts import CANDIDATE_COLUMNS, candidates, facts, metric

app = typer.Typer(help="Train, list, promote and roll back models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]


@app.command()
def train(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the catalog.")],
    force: Annotated[bool, typer.Option("--force", help="Train even if nothing has changed.")] = False,
    quantize: Annotated[
        str,
        typer.Option(
            "--quantize", metavar="KIND", help="float32, float16, …; auto takes the smallest that is proven."
        ),
    ] = "auto",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="NAME=FILE", help="A copy of a data file, where it can't be downloaded."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model, convert it, prove the conversion and publish it.

    Example: payphone model train sentiment
    """
    from infra.cli.progress import StepBars
    from infra.pipeline import build

    place = workspace(ctx)
    _put_data(name, place.data, data or ())
    if as_json:
        built = build(name, place, force=force, quantization=quantize)
    else:
        with StepBars() as bars:
            built = build(name, place, bars.on_progress, force=force, quantization=quantize)
    manifest, registry = built.manifest, place.registry()
    live = registry.live(name)
    if as_json:
        return print_json(
            {
                "model": name,
                "version": manifest.version,
                "live": live,
                "reused": built.reused,
                "bytes": manifest.model.size,
                "quantization": manifest.quantization,
                "parity": manifest.parity._asdict() | {"gate": manifest.parity.gate._asdict()},
                "candidates": manifest.training["candidates"],
                "metric": manifest.training["metric"],
                "seconds": round(built.seconds, 1),
            }
        )
    show(table(("", escape(name)), facts(manifest, registry, is_live=live == manifest.version)))
    show(table(CANDIDATE_COLUMNS, candidates(manifest)))
    if built.reused:
        show("Nothing has changed since this version was made. To train anyway: [bold]--force[/]")
    if live != manifest.version:
        show(f"Version {live} still answers calls: [bold]payphone model promote {name} {manifest.version}[/]")


def _put_data(name: str, cache: Path, given: Sequence[str]) -> None:
    """Copy data files that the operator has into the cache, each checked against the catalog's hash."""
    from models.catalog.entries import load_entry
    from models.data import put

    known = load_entry(name).data
    for item in given:
        key, _, file = item.partition("=")
        if key not in known or not file:
            names = ", ".join(known) or "none"
            raise typer.BadParameter(f"{item!r} is not NAME=FILE; {name} has the data {names}")
        put(known[key], Path(file), cache)


app.command("catalog")(model_catalog.catalog)
app.command("add")(model_add.add)


@app.command("list")
def list_(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """List the published models, and what the catalog has besides.

    Example: payphone model list
    """
    from models.catalog.entries import CATALOG, load_entry

    registry = place(ctx, stage).registry()
    published = {name: (registry.live(name), registry.versions(name)) for name in registry.models()}
    trainable = sorted(CATALOG.keys() - published.keys())
    if as_json:
        found = [{"name": n, "live": live, "versions": versions} for n, (live, versions) in published.items()]
        return print_json({"models": found, "trainable": trainable})
    rows = []
    for name, (live, versions) in published.items():
        manifest = registry.manifest(name)
        accuracy, size = metric(manifest), size_text(manifest.model.size)
        rows.append((name, live or "-", ", ".join(versions), manifest.quantization, size, accuracy))
    if rows:
        show(table(("Model", "Live", "Versions", "Quantization", ">Size", "Held out"), rows))
    if trainable:
        offered = [(name, escape(load_entry(name).title), load_entry(name).family) for name in trainable]
        show(table(("Not published yet", "What it does", "Family"), offered))
        show(f"Train one: [bold]payphone model train {trainable[0]}[/]. All: [bold]payphone model catalog[/]")


@app.command("show")
def show_(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str | None, typer.Option("--version", help="Default: the live one.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a model version.

    Example: payphone model show sentiment --version 1
    """
    registry = place(ctx, stage).registry()
    manifest = registry.manifest(name, version)
    live = registry.live(name) == manifest.version
    if as_json:
        return print_json({"live": live, **json.loads(manifest.to_json())})
    show(table(("", escape(name)), facts(manifest, registry, is_live=live)))
    if converted := candidates(manifest):
        show(table(CANDIDATE_COLUMNS, converted))


@app.command()
def promote(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str, typer.Argument(help="A published version.")],
    stage: OnStage = None,
    share: Annotated[
        int,
        typer.Option("--share", min=1, max=100, metavar="PERCENT", help="Try it with a share of the calls."),
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Make a version the one that answers calls.

    Example: payphone model promote sentiment 2 --stage prod --share 10
    """
    if stage is None:
        if share < 100:
            raise Failure("a share of the calls takes a stage on AWS: add --stage")
        previous = workspace(ctx).registry().promote(name, version)
    else:
        from infra import rollout

        to, registry = target(ctx, stage), place(ctx, stage).registry()
        previous = rollout.promote(to, registry, name, version, share / 100)
    if as_json:
        on_trial = {"trial": version, "share": share} if share < 100 else {}
        live = previous if on_trial else version
        return print_json({"model": name, "live": live, "previous": previous, **on_trial})
    if share < 100:
        return show(f"{escape(name)} {version} gets {share}% of the calls now, {previous} the others.")
    if previous == version:
        return show(f"{escape(name)} {version} is live already.")
    show(f"{escape(name)} {version} is live now, in place of {previous}.")


@app.command()
def rollback(ctx: typer.Context, name: Name, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Make the version live again that was live before, or end a trial.

    Example: payphone model rollback sentiment
    """
    registry = place(ctx, stage).registry()
    previous: str | None
    if stage is None:
        previous, version = registry.live(name), registry.rollback(name)
    else:
        from infra import rollout

        previous, version = rollout.rollback(target(ctx, stage), registry, name)
    if as_json:
        return print_json({"model": name, "live": version, "previous": previous})
    if previous == version:
        return show(f"The trial is over: {escape(name)} {version} has all calls again.")
    show(f"{escape(name)} {version} is live again, in place of {previous}.")
