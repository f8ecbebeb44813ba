"""Prove a candidate with the code that will serve it: from raw request value to score.

`models/parity.py` compares two callables and knows neither side. Here the converted side is the
serving code itself: the codec's checks, the preprocessing and the LiteRT binding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.inference import engine
from functions.inference.codec import choose_form, tensors_from_instances
from functions.preprocess.tensors import ELEMENT
from models.manifest import Manifest, Parity, TensorSpec
from models.parity import Disagreement, compare
from models.trained import Trained


def prove(
    draft: Manifest, files: Mapping[str, bytes], trained: Trained, on_row: Callable[[int], None]
) -> tuple[Parity, list[Disagreement]]:
    """Compare what `draft` and `files` serve with the source's own answers, on all held-out rows.

    ModelLoadError where the engine can't load it. `on_row` hears how many rows are answered.
    """
    model = engine.load(draft, files.__getitem__)
    try:
        return compare(
            trained.answer,
            lambda values: answer(model, values, on_row),
            trained.held_out,
            draft.parity.gate,
            draft.task,
        )
    finally:
        model.close()


def answer(
    model: engine.Model, values: Sequence[Any], on_row: Callable[[int], None] = lambda done: None
) -> NDArray[Any]:
    """Answer request values in batches of the size a request may have; gives the first output [n, …]."""
    scores, done = [], 0
    for instances, form in _batches(model, values):
        output = model.run(model.prepare(tensors_from_instances(instances, form)))[0]
        assert isinstance(output.data, bytes)
        scores.append(np.frombuffer(output.data, ELEMENT[output.dtype][0]).reshape(output.shape))
        done += len(instances)
        on_row(done)
    return np.concatenate(scores)


def _batches(model: engine.Model, values: Sequence[Any]) -> Iterator[tuple[list[Any], Sequence[TensorSpec]]]:
    """What one request may carry: at most `max_instances`, all in one form and of one length."""

    def alike(value: Any) -> tuple[Sequence[TensorSpec], int]:
        return choose_form(value, model.forms), len(value) if isinstance(value, list) else 0

    for (form, _), group in groupby(values, alike):
        while batch := list(islice(group, model.manifest.max_instances)):
            yield batch, form
