"""How fast the candidates of one model answer, measured side by side through the code that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median
from time import process_time_ns
from typing import Any

from functions.inference import engine
from functions.inference.codec import choose_form, tensors_from_instances
from models.manifest import Manifest

ROUNDS = 9
TURN_US = 3_000  # long enough for the clock, short enough that a busy machine slows all alike


def paces(drafts: Mapping[str, tuple[Manifest, Mapping[str, bytes]]], value: Any) -> dict[str, float]:
    """CPU microseconds that the graph of each candidate takes for one request value, by quantization.

    `drafts` are manifests and their files' bytes. The candidates take turns; a figure is a median.
    """
    with ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {}
        for quantization, (draft, files) in drafts.items():
            model = engine.load(draft, files.__getitem__)
            stack.callback(model.close)
            form = choose_form(value, model.forms)
            tensors = tensors_from_instances([value], form, model.takes_missing)
            calls[quantization] = partial(model.run, model.prepare(tensors))
        counts = {name: max(3, int(TURN_US / max(_timed(call, 3), 1))) for name, call in calls.items()}
        figures: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                figures[name].append(_timed(call, counts[name]))
    return {name: median(times) for name, times in figures.items()}


def _timed(call: Callable[[], object], calls: int) -> float:
    began = process_time_ns()
    for _ in range(calls):
        call()
    return (process_time_ns() - began) / calls / 1000
