"""Progress of a long command as plain values: the pipeline makes them, the command line draws them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

STEPS = ("fetch", "train", "convert", "prove", "publish")


class Progress(NamedTuple):
    """Where a step stands.

    `message` is a plain sentence. `total` is 0 while nobody knows how much there is to do; a step
    is over when `done` equals a `total` above 0, and its last event carries what it found in `figures`.
    """

    step: str
    message: str
    done: int
    total: int
    figures: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the step is over."""
        return self.done == self.total > 0


def under_way(step: str, message: str, done: int, total: int) -> Progress:
    """A step that is not over, even where its work is done: only its last event may say that."""
    return Progress(step, message, min(done, total - 1) if total else 0, total, {})


OnProgress = Callable[[Progress], None]


def to_line(progress: Progress) -> str:
    """One line of JSON, for a pipe."""
    return json.dumps(progress._asdict()) + "\n"


def from_line(line: str) -> Progress:
    """Read what `to_line` wrote."""
    return Progress(**json.loads(line))
