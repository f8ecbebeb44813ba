"""What all commands print alike: one JSON document or tables, and errors as one sentence.

Standard output carries the result and nothing else; errors go to standard error. Rich is imported
when something is drawn, so that commands start quickly.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import Console, RenderableType
    from rich.table import Table

FAILED = 1
OURS = ("models", "functions", "layers", "infra")

# A pipe has no width of its own; this one keeps every table of ours on one line a row.
PIPE_WIDTH = 160


class Failure(Exception):
    """A command can't do what it was asked to; the message says why and what to do."""


def print_json(document: Any) -> None:
    """Print the one document of a --json run."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def console() -> Console:
    """A console on standard output; what is printed through it is taken literally, but for [markup]."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Print tables and texts one below the other. A str is markup: escape() what others have written."""
    out = console()
    for part in parts:
        out.print(part)


def escape(text: str) -> str:
    """Make a text safe to print: no markup, no control characters that a terminal would obey."""
    from rich.markup import escape as escape_markup

    return escape_markup("".join(c if c.isprintable() else "�" for c in text))


def table(columns: Sequence[str], rows: Iterable[Sequence[RenderableType]], title: str = "") -> Table:
    """A plain table; a column whose name starts with ">" is set flush right, as numbers are.

    Cells that are str are markup: escape() what others have written.
    """
    from rich import box
    from rich.table import Table

    drawn = Table(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in columns:
        drawn.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def bar(value: int, most: int, width: int = 30) -> Bar:
    """A bar as long as `value` is of `most`."""
    from rich.bar import Bar

    return Bar(size=max(most, 1), begin=0, end=value, width=width, color="cyan")


def time_text(time_ms: int) -> str:
    """An instant in UTC, to the minute; "-" for never."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") if time_ms else "-"


def size_text(size: int) -> str:
    """A number of bytes in the unit one reads it in."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error on standard error; gives the exit code."""
    code = getattr(error, "exit_code", FAILED)
    message = _sentence(error)
    if as_json:
        sys.stderr.write(json.dumps({"error": message, "exit_code": code}, ensure_ascii=False) + "\n")
    elif message:
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.secho(message, err=True)
        command = getattr(getattr(error, "ctx", None), "command_path", None)
        if command:
            typer.secho(f"See: {command} --help", err=True)
    return int(code)


def _sentence(error: Exception) -> str:
    """What went wrong, in words for the one who typed the command."""
    if isinstance(error, typer.TyperException):
        return error.format_message().replace("Value error, ", "")  # pydantic's word, which typer passes on
    if isinstance(error, typer.Abort):
        return "stopped; nothing was changed"
    if type(error).__module__.partition(".")[0] in OURS:
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    if isinstance(error, sqlite3.Error):
        return f"a database can't be used: {error}. `payphone doctor` looks into it"
    return f"this should not have happened: {type(error).__name__}: {error}. Please report it"
