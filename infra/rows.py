"""Rows for a model from the command line: one value, a pipe, or a file of text, JSON lines or CSV.

Each becomes an instance as it would stand in a request. "@path" is a file's bytes, for a model that
takes files, such as a PNG.
"""

from __future__ import annotations

import csv
import sys
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from functions.inference.codec import parse_json
from functions.preprocess.tensors import BYTES, ELEMENT, element_count
from models.manifest import TensorSpec

Forms = Sequence[Sequence[TensorSpec]]


class RowError(ValueError):
    """A row can't be read; the message says which and what was expected."""


def read_rows(
    value: str | None, file: Path | None, forms: Forms, takes_missing: bool = False
) -> Iterator[Any]:
    """The rows of a VALUE ("-" is the pipe) or a file, for a model that takes these forms.

    With `takes_missing` an empty cell of a table is a value that is missing.
    """
    if value == "-":
        yield from _lines(sys.stdin, forms)
    elif value is not None:
        yield _line(value, forms)
    elif file is not None:
        with file.open(encoding="utf-8-sig", newline="") as lines, _said_of(file):
            if file.suffix == ".csv":
                yield from _records(lines, forms, takes_missing)
            elif file.suffix == ".jsonl":
                yield from (_json(line, number) for number, line in enumerate(lines, 1) if line.strip())
            else:
                yield from _lines(lines, forms)


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Turn what a file that is no text, or no table, raises into a RowError."""
    try:
        yield
    except UnicodeDecodeError:
        raise RowError(f"{file} is not UTF-8 text: rows are read from .txt, .jsonl or .csv") from None
    except csv.Error as error:
        raise RowError(f"{file} is no CSV: {error}") from None


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


def _records(lines: IO[str], forms: Forms, takes_missing: bool) -> Iterator[Any]:
    """Rows of a CSV: columns named as the inputs of a form, others ignored; or, of a model of one numeric
    input, all columns in their order. A first line of numbers alone is a row, not a header.
    """
    table = csv.reader(lines, strict=True)
    header = next(table, [])
    rows = chain([header], table) if _is_row(header) else table
    columns = [] if _is_row(header) else [name.strip() for name in header]
    form = next((form for form in forms if {spec.name for spec in form} <= set(columns)), None)
    places = [(spec, columns.index(spec.name)) for spec in form or ()]
    single = next((form[0] for form in forms if len(form) == 1 and form[0].dtype in ELEMENT), None)
    if not places and single is None:
        names = " or ".join(", ".join(spec.name for spec in form) for form in forms)
        raise RowError(f"the file has the columns {', '.join(columns or header)}; {names} was expected")
    for number, row in enumerate(filter(None, rows), 1):
        if columns and len(row) != len(columns):
            raise RowError(f"row {number} has {len(row)} cells; the header names {len(columns)} columns")
        if single is not None and not places:
            _check_width(single, len(row), number)
            yield fold([_cell(text, single, number, takes_missing) for text in row], single)
        else:
            yield {spec.name: _cell(row[at], spec, number, takes_missing) for spec, at in places}


def _check_width(spec: TensorSpec, cells: int, number: int) -> None:
    free = min(spec.shape[1:], default=0) < 0
    wanted = element_count(spec.shape[1:])
    if not free and cells != wanted:
        raise RowError(
            f"row {number} has {cells} cells, and an instance of {spec.name} has {wanted} numbers: leave out "
            "what is no input of the model, such as the target"
        )


def _is_row(cells: list[str]) -> bool:
    """Whether all cells are numbers, or empty, which are no names of columns."""
    try:
        return bool([float(cell) for cell in cells if cell])
    except ValueError:
        return False


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


def _cell(text: str | None, spec: TensorSpec, number: int, takes_missing: bool) -> Any:
    if takes_missing and not text and spec.dtype.startswith("float"):
        return None
    return text or "" if spec.dtype in ("string", BYTES) else _json(text or "", number)
