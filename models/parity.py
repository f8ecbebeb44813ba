"""Prove that a converted model answers as its source does, row by row, and hold it to limits.

The two sides come as callables over the same rows, so this module knows neither the framework a
model was trained in nor the code that serves it. Handed the serving code from raw request to
answer, the comparison covers preprocessing and runtime as well as the conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Gate, Parity

Answer = Callable[[Sequence[Any]], NDArray[Any]]
"""Takes n rows, gives their scores as an array of n, or of n by outputs."""

SHOWN = 10


class ParityError(RuntimeError):
    """The converted model is outside its gate's limits; the message says which, and which rows differ."""


class Disagreement(NamedTuple):
    """A row that the two sides label differently, or whose scores differ by more than the limit."""

    row: int
    source: tuple[float, ...]
    converted: tuple[float, ...]


def threshold(scores: NDArray[np.float64]) -> NDArray[Any]:
    """Labels of a single sigmoid output: 1 above one half."""
    return scores[:, 0] > 0.5


def largest(scores: NDArray[np.float64]) -> NDArray[Any]:
    """Labels of one score a class: the class of the largest, the first of equal ones."""
    return np.asarray(scores.argmax(axis=1))


LABELLING: dict[str, Callable[[NDArray[np.float64]], NDArray[Any]]] = {
    "binary-classification": threshold,
    "multiclass-classification": largest,
    "margin-classification": largest,
}


MIN_COSINE = 0.99


def parallel(expected: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[Any]:
    """Whether two vectors mean the same: a cosine of at least MIN_COSINE."""
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return np.asarray((expected * found).sum(axis=1) >= MIN_COSINE * lengths)


MIN_OVERLAP = 0.9

Box = Sequence[float] | NDArray[Any]


def same_finds(expected: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[Any]:
    """Whether two rows of finds (x, y, width, height, score, class; zeros for none) show the same things."""
    return np.array([_same(*map(_finds, pair)) for pair in zip(expected, found, strict=True)])


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height, …)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    whole = one[2] * one[3] + other[2] * other[3] - shared
    return float(shared / whole) if shared else 0.0


def _finds(row: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [find for find in row.reshape(-1, 6) if find[4] > 0]


def _same(expected: list[NDArray[np.float64]], found: list[NDArray[np.float64]]) -> bool:
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(
        one[5] == other[5] and overlap(one, other) >= MIN_OVERLAP for one, other in pairs
    )


RESEMBLANCE: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[Any]]] = {
    "detection": same_finds,
    "embedding": parallel,
}


def compare(
    source: Answer, converted: Answer, rows: Sequence[Any], gate: Gate, task: str
) -> tuple[Parity, list[Disagreement]]:
    """Answer all `rows` on both sides; gives the figures and the rows that disagreed, in order.

    Agreement is the share of equal labels as `task` decides them; for a task without labels, of
    rows that resemble each other as the task has it, or else are within the gate's `max_diff`. NaN
    agrees with nothing and differs without limit.
    """
    if not len(rows):
        return Parity(0, 0.0, float("inf"), gate), []
    expected, found = _table(source(rows), len(rows)), _table(converted(rows), len(rows))
    if expected.shape != found.shape:
        raise ParityError(f"the source gives scores of shape {expected.shape}, the converted {found.shape}")
    with np.errstate(invalid="ignore"):
        differences = np.abs(expected - found).max(axis=1)
    differences[np.isnan(differences)] = np.inf
    close = differences <= gate.max_diff
    if task in LABELLING:
        agreed = LABELLING[task](expected) == LABELLING[task](found)
    else:
        agreed = RESEMBLANCE[task](expected, found) if task in RESEMBLANCE else close
    agreed &= np.isfinite(differences)
    parity = Parity(len(rows), float(agreed.mean()), float(differences.max()), gate)
    disagreed = [
        Disagreement(int(row), tuple(map(float, expected[row])), tuple(map(float, found[row])))
        for row in np.flatnonzero(~(agreed & close))
    ]
    return parity, disagreed


def shortfalls(parity: Parity) -> list[str]:
    """The limits of its own gate that a result misses, in words; empty if it passes."""
    gate = parity.gate
    missed = []
    if parity.rows < gate.min_rows:
        missed.append(f"{parity.rows:,} rows were compared, at least {gate.min_rows:,} are required")
    if not parity.agreement >= gate.min_agreement:
        missed.append(f"agreement is {parity.agreement:.4%}, at least {gate.min_agreement:.4%} is required")
    if not parity.max_diff <= gate.max_diff:
        missed.append(
            f"the largest difference is {parity.max_diff:.3g}, at most {gate.max_diff:.3g} is allowed"
        )
    return missed


def require(parity: Parity, disagreed: Sequence[Disagreement]) -> None:
    """Pass a result that is within its gate's limits, else raise ParityError."""
    missed = shortfalls(parity)
    if missed:
        raise ParityError("; ".join([*missed, describe(disagreed)]))


def describe(disagreed: Sequence[Disagreement]) -> str:
    """Name the rows that disagreed, with both scores; the first few where there are many."""
    if not disagreed:
        return "no row disagreed"
    shown = ", ".join(
        f"row {item.row} ({_scores(item.source)} became {_scores(item.converted)})"
        for item in disagreed[:SHOWN]
    )
    more = f" and {len(disagreed) - SHOWN:,} more" if len(disagreed) > SHOWN else ""
    return f"rows that disagreed: {shown}{more}"


def _table(scores: NDArray[Any], rows: int) -> NDArray[np.float64]:
    table = np.asarray(scores, dtype=np.float64)
    if not len(table) == rows:
        raise ParityError(f"{rows:,} rows were asked, {len(table):,} were answered")
    return table.reshape(rows, -1)


def _scores(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:.6g}" for value in values)
