"""`payphone layer`: what a deploy would upload, and how far that is from Lambda's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from infra.cli.console import escape, print_json, show, size_text, table
from infra.cli.context import AsJson, StageOption, settings, target, workspace

if TYPE_CHECKING:
    from layers.archive import Archive
    from layers.budget import Report

LARGEST = 5

app = typer.Typer(help="Build what a deploy uploads.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `build` a command of its own, alone as it is."""


@app.command()
def build(ctx: typer.Context, stage: StageOption = None, as_json: AsJson = False) -> None:
    """Build all layers and functions, and show what is in each. Over a limit it stops.

    Example: payphone layer build
    """
    from infra.pack import pack

    place = workspace(ctx)
    packed = pack(settings(ctx), place.registry(), target(ctx, stage), place.build)
    models = [model.layer for model in packed.models if model.layer]
    archives = [packed.runtime, packed.web, *models, *packed.code.values()]
    if as_json:
        return print_json(
            {
                "archives": [_document(archive) for archive in archives],
                "functions": [_budget(report) for report in packed.reports],
            }
        )
    rows = [
        (
            escape(archive.name),
            f"{len(archive.files):,}",
            size_text(archive.unzipped),
            size_text(archive.zipped),
            escape(", ".join(f"{name} {size_text(size)}" for name, size in _largest(archive))),
        )
        for archive in archives
    ]
    show(table(("Zip", ">Files", ">Unzipped", ">Zipped", "Largest"), rows))
    for archive in archives:
        for note in archive.notes:
            show(f"[yellow]{escape(archive.name)}[/]: {escape(note)}")
    limits = []
    for report in packed.reports:
        total = report.lines[0]
        with_layers = " + ".join(one.name for one in report.archives)
        limits.append((escape(with_layers), size_text(total.used), f"{total.used / total.limit:.0%}"))
    show(table(("Function and its layers", ">Unzipped", ">Of Lambda's limit"), limits))


def _largest(archive: Archive) -> list[tuple[str, int]]:
    return sorted(archive.files.items(), key=lambda file: -file[1])[:LARGEST]


def _document(archive: Archive) -> dict[str, object]:
    return {
        "name": archive.name,
        "path": str(archive.path),
        "files": archive.files,
        "unzipped": archive.unzipped,
        "zipped": archive.zipped,
        "notes": list(archive.notes),
    }


def _budget(report: Report) -> dict[str, object]:
    lines = [line._asdict() for line in report.lines]
    return {"function": report.function.name, "layers": [one.name for one in report.layers], "limits": lines}
