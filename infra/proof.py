"""Prove a candidate with the code that will serve it: from raw request value to score.

`models/parity.py` compares two callables and knows neither side. Here the converted side is the
serving code itself: the codec's checks, the preprocessing and the LiteRT binding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from functions.inference import engine
from functions.inference.codec import choose_form, tensors_from_instances
from functions.preprocess.tensors import ELEMENT
from models.manifest import Manifest, Parity, TensorSpec
from models.parity import Disagreement, compare
from models.trained import Trained

EMBEDDING = "embedding"


class Proof(NamedTuple):
    """What comparing gave. `measured` are figures for a task whose rows have no true answer."""

    parity: Parity
    disagreed: list[Disagreement]
    measured: dict[str, float]


def prove(
    draft: Manifest, files: Mapping[str, bytes], trained: Trained, on_row: Callable[[int], None]
) -> Proof:
    """Compare what `draft` and `files` serve with the source's own answers, on all held-out rows.

    ModelLoadError where the engine can't load it. `on_row` hears how many rows are answered.
    """
    model = engine.load(draft, files.__getitem__)
    try:
        expected = trained.answer(trained.held_out)
        found = answer(model, trained.held_out, on_row)
    finally:
        model.close()
    parity, disagreed = compare(
        lambda _: expected, lambda _: found, trained.held_out, draft.parity.gate, draft.task
    )
    measured = _cosines(expected, found) if draft.task == EMBEDDING else {}
    return Proof(parity, disagreed, measured)


def _cosines(expected: NDArray[Any], found: NDArray[Any]) -> dict[str, float]:
    """How near vectors of length 1 are to those of the source: the worst first, then the mean."""
    cosines = (expected.astype("float64") * found).sum(axis=1)
    return {"least_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}


def answer(
    model: engine.Model, values: Sequence[Any], on_row: Callable[[int], None] = lambda done: None
) -> NDArray[Any]:
    """Answer request values in batches of the size a request may have; gives the first output [n, …]."""
    scores, done = [], 0
    for instances, form in batches(model, values):
        output = model.run(model.prepare(tensors_from_instances(instances, form, model.takes_missing)))[0]
        assert isinstance(output.data, bytes)
        scores.append(np.frombuffer(output.data, ELEMENT[output.dtype][0]).reshape(output.shape))
        done += len(instances)
        on_row(done)
    return np.concatenate(scores)


def batches(model: engine.Model, values: Sequence[Any]) -> Iterator[tuple[list[Any], Sequence[TensorSpec]]]:
    """What one request may carry: at most `max_instances`, all in one form and of one length."""

    def alike(value: Any) -> tuple[Sequence[TensorSpec], int]:
        return choose_form(value, model.forms), len(value) if isinstance(value, list) else 0

    for (form, _), group in groupby(values, alike):
        while batch := list(islice(group, model.manifest.max_instances)):
            yield batch, form
