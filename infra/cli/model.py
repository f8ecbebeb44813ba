"""`payphone model`: train what the catalog has, and choose which published version answers calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import model_add, model_catalog
from infra.cli.console import Failure, escape, print_json, show, size_text, table
from infra.cli.context import AsJson, OnStage, place, target, workspace

if TYPE_CHECKING:
    from models.manifest import Manifest

app = typer.Typer(help="Train, list, promote and roll back models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]


@app.command()
def train(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the catalog.")],
    force: Annotated[bool, typer.Option("--force", help="Train even if nothing has changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model, convert it, prove the conversion and publish it.

    Example: payphone model train sentiment
    """
    from infra.cli.progress import StepBars
    from infra.pipeline import build

    place = workspace(ctx)
    if as_json:
        built = build(name, place, force=force)
    else:
        with StepBars() as bars:
            built = build(name, place, bars.on_progress, force=force)
    manifest, live = built.manifest, place.registry().live(name)
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
                "metric": manifest.training["metric"],
                "seconds": round(built.seconds, 1),
            }
        )
    show(table(("", escape(name)), facts(manifest, is_live=live == manifest.version)))
    if built.reused:
        show("Nothing has changed since this version was made. To train anyway: [bold]--force[/]")
    if live != manifest.version:
        show(f"Version {live} still answers calls: [bold]payphone model promote {name} {manifest.version}[/]")


app.command("catalog")(model_catalog.catalog)
app.command("add")(model_add.add)


@app.command("list")
def list_(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """List the published models, and what the catalog has besides.

    Example: payphone model list
    """
    from models.catalog.entries import CATALOG

    registry = place(ctx, stage).registry()
    published = {name: (registry.live(name), registry.versions(name)) for name in registry.models()}
    trainable = sorted(CATALOG.keys() - published.keys())
    if as_json:
        found = [{"name": n, "live": live, "versions": versions} for n, (live, versions) in published.items()]
        return print_json({"models": found, "trainable": trainable})
    rows = []
    for name, (live, versions) in published.items():
        manifest = registry.manifest(name)
        accuracy, size = _metric(manifest), size_text(manifest.model.size)
        rows.append((name, live or "-", ", ".join(versions), manifest.quantization, size, accuracy))
    if rows:
        show(table(("Model", "Live", "Versions", "Quantization", ">Size", "Held out"), rows))
    for name in trainable:
        show(f"{name} is not published yet. Train it: [bold]payphone model train {name}[/]")


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
    show(table(("", escape(name)), facts(manifest, is_live=live)))


def facts(manifest: Manifest, *, is_live: bool) -> list[tuple[str, str]]:
    """What one wants to know of a version, as rows of a table."""
    parity, gate = manifest.parity, manifest.parity.gate
    references = [
        ("Published elsewhere", escape(f"{item['value']} {item['name']} ({item['note']})"))
        for item in manifest.training.get("references", ())
    ]
    return [
        ("Version", f"{manifest.version}{' (live)' if is_live else ''}"),
        ("Task", f"{manifest.task}: {', '.join(map(escape, manifest.labels))}"),
        ("Family", manifest.family),
        ("Source", ", ".join(f"{key} {value}" for key, value in manifest.source.items())),
        ("Preprocessing", manifest.preprocess.kind),
        ("Quantization", manifest.quantization),
        ("Size", size_text(manifest.model.size)),
        ("Held out", _metric(manifest)),
        *references,
        (
            "Parity",
            f"{parity.rows:,} rows, label agreement {parity.agreement:.4%}, largest difference "
            f"{parity.max_diff:.2g} (gate: {gate.min_agreement:.2%}, {gate.max_diff:.2g})",
        ),
        ("Rows a request", f"{manifest.max_instances} at most"),
        ("Licence", escape(manifest.licence)),
        ("SHA-256", manifest.model.sha256),
    ]


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


def _metric(manifest: Manifest) -> str:
    """How well the model did on data it had never seen."""
    metric = manifest.training["metric"]
    return f"{metric['name']} {metric['value']:.4f} on {metric['rows']:,} rows"
