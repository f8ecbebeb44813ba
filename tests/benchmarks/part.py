"""What a part of the benchmark is given and what it gives back."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


class Skipped(Exception):
    """A part, or one contestant of it, that can't be run here; the message says why and what to do."""


class Table(NamedTuple):
    """What a part shows: cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class Part(NamedTuple):
    """Tables, and figures by their name in the last line of JSON: a number, or the reason for none."""

    tables: list[Table]
    figures: dict[str, float | str]


class Bench(NamedTuple):
    """Where a part works. `step` tells what is being measured, `environment` gives a lock's interpreter."""

    folder: Path
    root: Path
    quick: bool
    step: Callable[[str], None]
    environment: Callable[[str], Path]
    model_file: Path
    workspace: Callable[[], Workspace]
