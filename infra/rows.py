"""Rows for a model from the command line: one value, a pipe, or a file of text, JSON lines or CSV.

Each becomes an instance as it would stand in a request. "@path" is a file's bytes, for a model that
takes files, such as a PNG.
"""

from __future__ import annotations

import csv
import sys
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from functions.inference.codec import parse_json
from functions.preprocess.tensors import BYTES
from models.manifest import TensorSpec

Forms = Sequence[Sequence[TensorSpec]]


class RowError(ValueError):
    """A row can't be read; the message says which and what was expected."""


def read_rows(value: str | None, file: Path | None, forms: Forms) -> Iterator[Any]:
    """The rows of a VALUE ("-" is the pipe) or a file, for a model that takes these forms."""
    if value == "-":
        yield from _lines(sys.stdin, forms)
    elif value is not None:
        yield _line(value, forms)
    elif file is not None:
        with file.open(encoding="utf-8", newline="") as lines:
            if file.suffix == ".csv":
                yield from _records(csv.DictReader(lines), forms[0])
            elif file.suffix == ".jsonl":
                yield from (_json(line, number) for number, line in enumerate(lines, 1) if line.strip())
            else:
                yield from _lines(lines, forms)


def _lines(lines: Iterable[str], forms: Forms) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _line(line.rstrip("\r\n"), forms, number)


def _line(text: str, forms: Forms, number: int = 1) -> Any:
    """A line is itself the text that a model of one text takes, or @path of a file; else it is JSON."""
    files = [form[0].name for form in forms if len(form) == 1 and form[0].dtype == BYTES]
    if files and text.startswith("@"):
        return {files[0]: b2a_base64(Path(text[1:]).read_bytes(), newline=False).decode()}
    if len(forms[0]) == 1 and forms[0][0].dtype == "string":
        return text
    return _json(text, number)


def _json(text: str, number: int) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise RowError(f"row {number} is not JSON: {error}") from None


def _records(records: csv.DictReader[str], inputs: Sequence[TensorSpec]) -> Iterator[Any]:
    """Columns named as the inputs; of a model of one numeric input, its columns in their order."""
    columns = list(records.fieldnames or ())
    names = [spec.name for spec in inputs]
    named = set(names) <= set(columns)
    if not named and (len(inputs) > 1 or inputs[0].dtype == "string"):
        raise RowError(f"the file has the columns {', '.join(columns)}; {', '.join(names)} was expected")
    for number, record in enumerate(records, 1):
        if named:
            yield {spec.name: _cell(record[spec.name], spec, number) for spec in inputs}
        else:
            yield fold([_cell(record[column], inputs[0], number) for column in columns], inputs[0])


def fold(values: list[Any], spec: TensorSpec) -> list[Any]:
    """Flat values nested as one instance's shape says, where that is fixed and they fit it."""
    count = 1
    for size in spec.shape[1:]:
        count *= size
    if count != len(values):
        return values
    for size in reversed(spec.shape[2:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def _cell(text: str | None, spec: TensorSpec, number: int) -> Any:
    return text or "" if spec.dtype in ("string", BYTES) else _json(text or "", number)
