"""What may be brought, and what opening it gives. Files are opened in the child alone: none is trusted.

An opener imports TensorFlow only when it converts, so that a file is refused without it.
A new kind is one file with a function `open_model`, one line in OPENERS, and a way to tell it in
`infra/adopt/file_kinds.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from numpy.typing import NDArray

from models.trained import Encoding

Arrays = Mapping[str, NDArray[Any]]
Reference = Callable[[Arrays], Arrays]
"""Takes inputs by name, gives outputs by name, by the source framework alone."""

OPENERS = {
    "keras": "infra.adopt.from_keras",
    "lightgbm": "infra.adopt.from_lightgbm",
    "pickle": "infra.adopt.from_scikit",
    "savedmodel": "infra.adopt.from_saved_model",
    "skops": "infra.adopt.from_scikit",
    "tflite": "infra.adopt.from_litert",
    "xgboost": "infra.adopt.from_xgboost",
}


MOST_WORDS = 300
_LOGGED = re.compile(r"^\[[\d:]+\] \S+:\d+: ")  # XGBoost puts the time and its own line in front


class Opened(NamedTuple):
    """A brought model: files to choose from, by quantization, and what answers as its source does.

    Without a `reference` the file is its own source, and LiteRT's stock Interpreter takes that part.
    `labels` are those the file names. `words` are some that a model of texts knows, for made-up rows.
    """

    files: dict[str, bytes]
    reference: Reference | None
    source: dict[str, str]
    labels: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    encoding: Encoding = Encoding("none", {}, {})
    words: tuple[str, ...] = ()


class Asked(NamedTuple):
    """What the operator said of the file."""

    path: Path
    kind: str
    signature: str | None
    raw: bool
    trust: bool
    quantizations: Sequence[str]


def open_model(asked: Asked) -> Opened:
    """Open a file; ConversionError says why it can't be served and what would help."""
    opener: Callable[[Asked], Opened] = import_module(OPENERS[asked.kind]).open_model
    return opener(asked)


def written(graph: Any, asked: Asked) -> dict[str, bytes]:
    """The candidates of a graph."""
    from models.convert import tflite
    from models.quantize import QUANTIZATIONS

    with TemporaryDirectory() as folder:
        tflite.save(graph, Path(folder))
        return {name: tflite.write(graph, Path(folder), QUANTIZATIONS[name]) for name in asked.quantizations}


def unreadable(error: Exception, remedy: str) -> str:
    """Why a framework could not read a file, in its own first words, and what would help."""
    first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
    first = _LOGGED.sub("", first)[:MOST_WORDS]
    return f"its framework can't read it ({type(error).__name__}: {first}). {remedy}"


def columns(names: Sequence[Any] | None, count: int) -> Encoding:
    """Rows by the names of their columns, where the model knows them; in order alone where it does not."""
    texts = [str(name) for name in names] if names is not None else []
    if len(texts) != count or len(set(texts)) != count:
        return Encoding("none", {}, {})
    return Encoding("columns", {"names": texts}, {})
