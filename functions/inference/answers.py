"""What the caller sees of a graph's outputs: labels and probabilities, or the tensors as they are.

A task says how scores become a label. A new task is one function and one entry in TASKS.
"""

from __future__ import annotations

from functions.inference.codec import nested, values_of
from functions.preprocess.tensors import STRING, Tensor
from models.manifest import Manifest, TensorSpec
from models.typed import Any, Callable, Sequence

LABEL = "label"
DETECTION = "detection"
THRESHOLD = 0.5


class UnusableScores(Exception):
    """The graph gave NaN or infinity where a probability was expected: there is no honest label."""


def _binary(scores: list[float]) -> tuple[int, list[float]]:
    """One sigmoid output: the second label above the threshold, as Keras' binary accuracy has it."""
    (score,) = scores
    return int(score > THRESHOLD), [_short(1.0 - score), score]


def _multiclass(scores: list[float]) -> tuple[int, list[float]]:
    """One score a class: the first of the largest, as argmax has it."""
    return scores.index(max(scores)), scores


TASKS: dict[str, Callable[[list[float]], tuple[int, list[float]]]] = {
    "binary-classification": _binary,
    "multiclass-classification": _multiclass,
    "margin-classification": _multiclass,
}

# Not every score is a probability: a support vector machine's is a margin.
_SCORE = {"margin-classification": ("margin", "margins")}


def predictions(manifest: Manifest, outputs: Sequence[Tensor], count: int) -> list[Any]:
    """V1: one prediction an instance.

    For a classification {"label", "probability", "probabilities": {label: p}}, or "margin" and "margins";
    for a detection a list of {"label", "probability", "box": {x, y, width, height}} in pixels; otherwise
    the output's value, or an object of values by output name where there are several.
    """
    if manifest.task in TASKS:
        return [_prediction(manifest, scores) for scores in _score_rows(manifest, outputs[0], count)]
    columns = [nested(values_of(tensor), tensor.shape) for tensor in outputs]
    if manifest.task == DETECTION:
        return [_finds(manifest, row) for row in columns[0]]
    if len(columns) == 1:
        return list(columns[0])
    names = [tensor.name for tensor in outputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def answer_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """V2: the tensors an answer may hold, the label first where there is one."""
    outputs = manifest.signatures["predict"].outputs
    return (TensorSpec(LABEL, STRING, (-1,)), *outputs) if manifest.task in TASKS else outputs


def answer_tensors(manifest: Manifest, outputs: Sequence[Tensor], count: int) -> list[Tensor]:
    """V2: the tensors of `answer_specs` for one run."""
    if manifest.task not in TASKS:
        return list(outputs)
    choose = TASKS[manifest.task]
    labels = [manifest.labels[choose(scores)[0]] for scores in _score_rows(manifest, outputs[0], count)]
    return [Tensor(LABEL, STRING, (count,), labels), *outputs]


def _prediction(manifest: Manifest, scores: list[float]) -> dict[str, Any]:
    index, values = TASKS[manifest.task](scores)
    one, all_ = _SCORE.get(manifest.task, ("probability", "probabilities"))
    return {
        "label": manifest.labels[index],
        one: values[index],
        all_: dict(zip(manifest.labels, values, strict=True)),
    }


def _finds(manifest: Manifest, rows: list[list[float]]) -> list[dict[str, Any]]:
    """What was found; a row of the output is x, y, width, height, score and class, zeros for none."""
    if any(value is None for row in rows for value in row):
        raise UnusableScores(f"{manifest.name} gave a number that is none")
    return [
        {
            "label": manifest.labels[int(kind)],
            "probability": score,
            "box": {"x": x, "y": y, "width": width, "height": height},
        }
        for x, y, width, height, score, kind in rows
        if score > 0
    ]


def _score_rows(manifest: Manifest, scores: Tensor, count: int) -> list[list[float]]:
    values = values_of(scores)
    if None in values:
        raise UnusableScores(f"{manifest.name} gave a score that is not a number")
    if count == 1:
        return [values]
    width = len(values) // count
    return [values[at : at + width] for at in range(0, len(values), width)]


def _short(value: float) -> float:
    return float(f"{value:.9g}")
