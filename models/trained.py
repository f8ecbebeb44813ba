"""Trained: what an entry of the catalog hands on, whatever framework it learnt in.

Training leaves a folder; `load` of the entry's train.py turns that folder into a Trained. A fresh
and a cached model take the same path, so a change of the converter never costs a training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from models.catalog.entries import Entry
    from models.parity import Answer

Tell = Callable[[str, int, int], None]
"""Called with a plain sentence and how much is (done, in all); 0 in all while that is unknown."""


class Encoding(NamedTuple):
    """How a request value becomes the graph's inputs: a kind of `functions/preprocess`, and its files."""

    kind: str
    parameters: dict[str, Any]
    files: dict[str, bytes]


class Figures(NamedTuple):
    """What training measured: a metric on `rows` held-out rows, and any further facts worth keeping."""

    metric: str
    value: float
    rows: int
    facts: dict[str, Any]


class Trained(NamedTuple):
    """A trained model with the means to prove its conversion.

    `source` is the framework's object, as the source kind of `models/convert` takes it. `answer`
    maps public request values to scores by the source framework alone, preprocessing included:
    it shares no code with serving. `held_out` are such values, none of which training has seen,
    and `labels` the indices of their true labels, empty for a task without labels. `calibration`
    are training rows as the graph takes them, by input name: full int8 fits its ranges to them.
    """

    source: Any
    answer: Answer
    held_out: Sequence[Any]
    labels: Sequence[int]
    encoding: Encoding
    calibration: Mapping[str, Any] | None = None


class Trainer(Protocol):
    """What a catalog entry's train.py offers."""

    def train(self, entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
        """Learn from the entry's data files (paths by name) and leave everything in `folder`."""

    def load(self, entry: Entry, folder: Path) -> Trained:
        """Read back what `train` left."""
