"""What a family of models brings to the benchmark: contestants that answer the same rows, and the proof.

Every contestant is a process of its own, in the environment that it needs, and takes its turn when it
is told to (`runners/turns.py`).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

RUNNERS = "tests.benchmarks.families.runners"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Case(NamedTuple):
    """One model: contestants by title, ours first, the source it was converted from second.

    `figures` names the ratios to ours of the contestants after it, at one row; None for one that has no
    name. `agree` says what is wrong with two contestants' answers, or nothing.
    """

    title: str
    contestants: dict[str, list[str]]
    figures: tuple[str | None, ...]
    batches: tuple[int, ...]
    agree: Callable[[Sequence[Sequence[float]], Sequence[Sequence[float]]], str]
    more: dict[str, float | str] = {}  # noqa: RUF012 - further figures of the case


def command(runner: str, *arguments: object, python: Path | None = None) -> list[str]:
    """How a runner is started."""
    return [str(python or sys.executable), "-m", f"{RUNNERS}.{runner}", *map(str, arguments)]


def write_tensors(folder: Path, batches: dict[int, list[list[tuple[str, str, list[int], bytes]]]]) -> None:
    """Leave what `runners/ours.py` is given: by batch size, calls of tensors (name, type, shape, data)."""
    spec = {
        batch: [[(name, kind, shape, data.hex()) for name, kind, shape, data in call] for call in calls]
        for batch, calls in batches.items()
    }
    (folder / "calls.json").write_text(json.dumps(spec))


def made(root: Path, module: str, *arguments: object) -> None:
    """Run a module of ours that needs TensorFlow, in a process of its own."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr[-3000:]}")


def same_scores(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> str:
    """Equal labels on every row, and scores within 1e-4 of their size."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if _first_largest(mine) != _first_largest(other):
            return f"row {number} has another label"
        if max(abs(a - b) for a, b in zip(mine, other, strict=True)) > 1e-4 * max(1, *map(abs, other)):
            return f"row {number} has other scores"
    return ""


def close_scores(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> str:
    """Scores within 0.05, what a quantised classifier's gate allows."""
    pairs = zip(ours, theirs, strict=True)
    apart = max(abs(a - b) for mine, other in pairs for a, b in zip(mine, other, strict=True))
    return f"scores are {apart:.3f} apart" if apart > 0.05 else ""


def cosine(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The least cosine of two contestants' vectors, row by row."""
    products = []
    for mine, other in zip(ours, theirs, strict=True):
        lengths = (sum(a * a for a in mine) * sum(b * b for b in other)) ** 0.5
        products.append(sum(a * b for a, b in zip(mine, other, strict=True)) / lengths)
    return min(products)


def _first_largest(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__) if len(row) > 1 else int(row[0] > 0.5)
