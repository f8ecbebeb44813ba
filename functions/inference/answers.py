"""What the caller sees of a graph's outputs: labels and probabilities, or the tensors as they are.

A task says how scores become a label. A new task is one function and one entry in TASKS. V1's answers are
written as text straight from the numbers: objects that are written once would take twice as long.
"""

from __future__ import annotations

from functions.inference.codec import json_number, nested, numbers_of, texts_of
from functions.preprocess.tensors import STRING, Tensor
from models.functional import lru_cache
from models.manifest import Manifest, TensorSpec
from models.strict_json import quoted
from models.typed import Callable, NamedTuple, Sequence

LABEL = "label"
DETECTION = "detection"
THRESHOLD = 0.5


class UnusableScores(Exception):
    """The graph gave NaN or infinity where a probability was expected: there is no honest label."""


def _binary(scores: Sequence[float], texts: list[str]) -> tuple[int, list[str]]:
    """One sigmoid output: the second label above the threshold, as Keras' binary accuracy has it."""
    (score,), (text,) = scores, texts
    return int(score > THRESHOLD), [json_number(f"{1.0 - float(text):.9g}"), text]


def _multiclass(scores: Sequence[float], texts: list[str]) -> tuple[int, list[str]]:
    """One score a class: the first of the largest, as argmax has it."""
    return scores.index(max(scores)), texts


class Task(NamedTuple):
    """Which label an instance's scores mean, and a number for each label; what one and all are called."""

    choose: Callable[[Sequence[float], list[str]], tuple[int, list[str]]]
    one: str = "probability"
    all: str = "probabilities"


TASKS = {
    "binary-classification": Task(_binary),
    "multiclass-classification": Task(_multiclass),
    # Not every score is a probability: a support vector machine's is a margin.
    "margin-classification": Task(_multiclass, "margin", "margins"),
}

_FIND = '{"label":%s,"probability":%s,"box":{"x":%s,"y":%s,"width":%s,"height":%s}}'


def predictions(manifest: Manifest, outputs: Sequence[Tensor], count: int) -> str:
    """V1: a JSON list of one prediction an instance.

    For a classification {"label", "probability", "probabilities": {label: p}}, or "margin" and "margins";
    for a detection a list of {"label", "probability", "box": {x, y, width, height}} in pixels; otherwise
    the output's value, or an object of values by output name where there are several.
    """
    if manifest.task in TASKS:
        choose = TASKS[manifest.task].choose
        starts, end = _wording(manifest.task, manifest.labels)
        found = []
        for scores in _score_rows(manifest, outputs[0], count):
            index, texts = choose(*scores)
            found.append(f"{starts[index]}{texts[index]}{end % tuple(texts)}")
    elif manifest.task == DETECTION:
        found = _finds(manifest, outputs[0])
    else:
        columns = [nested(texts_of(tensor), tensor.shape) for tensor in outputs]
        found = columns[0]
        if len(columns) > 1:
            members = ",".join([f"{_escaped(tensor.name)}:%s" for tensor in outputs])
            found = [f"{{{members % row}}}" for row in zip(*columns, strict=True)]
    return f"[{','.join(found)}]"


def answer_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """V2: the tensors an answer may hold, the label first where there is one."""
    outputs = manifest.signatures["predict"].outputs
    return (TensorSpec(LABEL, STRING, (-1,)), *outputs) if manifest.task in TASKS else outputs


def answer_tensors(manifest: Manifest, outputs: Sequence[Tensor], count: int) -> list[Tensor]:
    """V2: the tensors of `answer_specs` for one run."""
    if manifest.task not in TASKS:
        return list(outputs)
    choose = TASKS[manifest.task].choose
    labels = [manifest.labels[choose(*scores)[0]] for scores in _score_rows(manifest, outputs[0], count)]
    return [Tensor(LABEL, STRING, (count,), labels), *outputs]


@lru_cache(maxsize=64)
def _wording(task: str, labels: tuple[str, ...]) -> tuple[list[str], str]:
    """What comes before the score of each label, and what comes behind it, all scores still to be put in."""
    names = [quoted(label) for label in labels]
    members = ",".join([f"{_escaped(label)}:%s" for label in labels])
    one, all_ = TASKS[task].one, TASKS[task].all
    return [f'{{"label":{name},"{one}":' for name in names], f',"{all_}":{{{members}}}}}'


def _escaped(name: str) -> str:
    """As JSON, in a text that is a format yet."""
    return quoted(name).replace("%", "%%")


def _finds(manifest: Manifest, output: Tensor) -> list[str]:
    """What was found; a row of the output is x, y, width, height, score and class, zeros for none."""
    texts, numbers = texts_of(output), numbers_of(output)
    if "null" in texts:
        raise UnusableScores(f"{manifest.name} gave a number that is none")
    count, rows, width = output.shape
    found = []
    for instance in range(count):
        places = range(instance * rows * width, (instance + 1) * rows * width, width)
        finds = [
            _FIND % (quoted(manifest.labels[int(numbers[at + 5])]), texts[at + 4], *texts[at : at + 4])
            for at in places
            if numbers[at + 4] > 0
        ]
        found.append(f"[{','.join(finds)}]")
    return found


def _score_rows(manifest: Manifest, scores: Tensor, count: int) -> list[tuple[Sequence[float], list[str]]]:
    """The scores of each instance, as numbers and as JSON."""
    texts, numbers = texts_of(scores), numbers_of(scores)
    if "null" in texts:
        raise UnusableScores(f"{manifest.name} gave a score that is not a number")
    if count == 1:
        return [(numbers, texts)]
    width = len(texts) // count
    return [(numbers[at : at + width], texts[at : at + width]) for at in range(0, len(texts), width)]
