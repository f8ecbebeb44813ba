"""Time one published model beside its source, in a process that does nothing else.

    python -m infra.catalog.timing_child < '{"name": …, "version": …, "root": …, "values": […]}'

The last line on standard output is {"served": s, "source": s}: medians over the values, one at a time.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.inference import engine
from functions.inference.codec import choose_form, tensors_from_instances
from infra.workspace import Workspace
from models.catalog.entries import load_entry

ROUNDS = 200
SECONDS = 5.0  # at most, for a slow source


def main(order: dict[str, Any]) -> dict[str, float]:
    """Time what the order names."""
    workspace, entry = Workspace(Path(order["root"])), load_entry(order["name"])
    registry = workspace.registry()
    manifest = registry.manifest(order["name"], order["version"])
    model = engine.load(manifest, lambda name: registry.read(manifest, name))
    given = [tensors_from_instances([value], choose_form(value, model.forms)) for value in order["values"]]
    served = _median(lambda number: model.run(model.prepare(given[number % len(given)])))
    model.close()
    trained = entry.trainer().load(entry, workspace.work / order["name"] / "trained")
    if entry.source == "keras":
        _compile(trained.source)
    values = order["values"]
    source = _median(lambda number: trained.answer([values[number % len(values)]]))
    return {"served": served, "source": source}


def _compile(model: Any) -> None:
    """Let `predict` be one compiled call: Keras' own sets up a loop that takes longer than most models do."""
    import tensorflow as tf

    compiled = tf.function(model, reduce_retracing=True)
    model.predict = lambda inputs, **options: compiled(tf.constant(inputs), training=False).numpy()


def _median(call: Callable[[int], Any]) -> float:
    call(0)
    taken: list[float] = []
    end = time.monotonic() + SECONDS
    while len(taken) < ROUNDS and (time.monotonic() < end or not taken):
        started = time.perf_counter()
        call(len(taken))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints from here on, in Python or C, prints to the log
    own.write(json.dumps(main(json.load(sys.stdin))) + "\n")
    own.close()
