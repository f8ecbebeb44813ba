"""`payphone predict`: the live version of a model answers rows here, without a server, key or bill."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import Failure, escape, print_json, show, table
from infra.cli.context import AsJson, workspace

if TYPE_CHECKING:
    from functions.inference.engine import Model
    from models.manifest import TensorSpec

SHOWN_CHARACTERS = 60


def predict(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A published model.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE|-", help="One row: a text, or JSON. - reads rows from a pipe."),
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

    if (value is None) == (file is None):
        raise typer.BadParameter("give one row as VALUE, or rows with --file FILE", ctx=ctx)
    registry = workspace(ctx).registry()
    manifest = registry.manifest(model)
    loaded = load(manifest, lambda name: registry.read(manifest, name))
    try:
        rows = _read(value, file, loaded.inputs)
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
    from functions.inference.codec import tensors_from_instances

    instances: list[Any] = []
    answers: list[Any] = []
    while batch := list(islice(rows, model.manifest.max_instances)):
        outputs = model.run(model.prepare(tensors_from_instances(batch, model.inputs)))
        answers += predictions(model.manifest, outputs, len(batch))
        instances += batch
    return instances, answers


def _read(value: str | None, file: Path | None, inputs: Sequence[TensorSpec]) -> Iterator[Any]:
    """The rows as instances, each as it would stand in a request."""
    if value == "-":
        yield from _lines(sys.stdin, inputs)
    elif value is not None:
        yield _line(value, inputs)
    elif file is not None:
        with file.open(encoding="utf-8", newline="") as lines:
            if file.suffix == ".csv":
                yield from _records(csv.DictReader(lines), inputs)
            elif file.suffix == ".jsonl":
                yield from (_json(line, number) for number, line in enumerate(lines, 1) if line.strip())
            else:
                yield from _lines(lines, inputs)


def _lines(lines: Iterable[str], inputs: Sequence[TensorSpec]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _line(line.rstrip("\r\n"), inputs, number)


def _line(text: str, inputs: Sequence[TensorSpec], number: int = 1) -> Any:
    """A line is itself the text that a model of one text takes; for any other model it is JSON."""
    if len(inputs) == 1 and inputs[0].dtype == "string":
        return text
    return _json(text, number)


def _json(text: str, number: int) -> Any:
    from functions.inference.codec import parse_json

    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise Failure(f"row {number} is not JSON: {error}") from None


def _records(records: csv.DictReader[str], inputs: Sequence[TensorSpec]) -> Iterator[Any]:
    """Columns named as the inputs; of a model of one numeric input, its columns in their order."""
    columns = list(records.fieldnames or ())
    names = [spec.name for spec in inputs]
    named = set(names) <= set(columns)
    if not named and (len(inputs) > 1 or inputs[0].dtype == "string"):
        raise Failure(f"the file has the columns {', '.join(columns)}; {', '.join(names)} was expected")
    for number, record in enumerate(records, 1):
        if named:
            yield {spec.name: _cell(record[spec.name], spec, number) for spec in inputs}
        else:
            yield [_cell(record[column], inputs[0], number) for column in columns]


def _cell(text: str | None, spec: TensorSpec, number: int) -> Any:
    return text or "" if spec.dtype == "string" else _json(text or "", number)


def _keys(answer: Any) -> Sequence[str]:
    return list(answer) if isinstance(answer, dict) else ()


def _cells(answer: Any) -> tuple[str, ...]:
    """One answer as table cells."""
    if "label" in _keys(answer):
        return escape(answer["label"]), f"{answer['probability']:.4f}"
    return (escape(_short(answer)),)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
