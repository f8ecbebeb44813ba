"""`payphone predict`: the live version of a model answers rows here, without a server, key or bill."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import Failure, escape, print_json, show, table
from infra.cli.context import AsJson, workspace

if TYPE_CHECKING:
    from functions.inference.engine import Model

SHOWN_CHARACTERS = 60


def predict(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A published model.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE|-", help="One row: a text, JSON, or @FILE. - reads rows from a pipe."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Rows: .txt (a text a line), .jsonl (JSON a line), .csv (with a header)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer one row or a file with a model's live version.

    Example: payphone predict sentiment "A wonderful little film."
    """
    from functions.inference.engine import load
    from infra.rows import read_rows

    if (value is None) == (file is None):
        raise typer.BadParameter("give one row as VALUE, or rows with --file FILE", ctx=ctx)
    registry = workspace(ctx).registry()
    manifest = registry.manifest(model)
    loaded = load(manifest, lambda name: registry.read(manifest, name))
    try:
        rows = read_rows(value, file, loaded.forms, loaded.takes_missing)
        instances, answers = _answer(loaded, rows)
    finally:
        loaded.close()
    if not answers:
        raise Failure("there are no rows to answer: at least one was expected")
    if as_json:
        return print_json({"model": model, "version": manifest.version, "predictions": answers})
    drawn = [
        (str(number), escape(_short(instance)), *_cells(answer))
        for number, (instance, answer) in enumerate(zip(instances, answers, strict=True), 1)
    ]
    columns = (">Row", "Input", *(("Label", ">Probability") if "label" in _keys(answers[0]) else ("Output",)))
    show(table(columns, drawn, f"{model}, version {manifest.version}"))


def _answer(model: Model, rows: Iterator[Any]) -> tuple[list[Any], list[Any]]:
    """Run rows in batches of what one request may carry; gives the rows and their predictions."""
    from functions.inference.answers import predictions
    from functions.inference.codec import choose_form, tensors_from_instances

    instances: list[Any] = []
    answers: list[Any] = []
    while batch := list(islice(rows, model.manifest.max_instances)):
        tensors = tensors_from_instances(batch, choose_form(batch[0], model.forms), model.takes_missing)
        outputs = model.run(model.prepare(tensors))
        answers += json.loads(predictions(model.manifest, outputs, len(batch)))
        instances += batch
    return instances, answers


def _keys(answer: Any) -> Sequence[str]:
    return list(answer) if isinstance(answer, dict) else ()


def _cells(answer: Any) -> tuple[str, ...]:
    """One answer as table cells."""
    if "label" in _keys(answer):
        return escape(answer["label"]), f"{answer.get('probability', answer.get('margin')):.4f}"
    return (escape(_short(answer)),)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
