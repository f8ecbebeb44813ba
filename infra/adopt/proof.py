"""Prove a brought model: rows, real or made up, answered by its source and by the code that will serve it."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.inference import engine
from functions.inference.codec import nested, numbers_of, tensors_from_instances, texts_of
from functions.inference.interpreter import InterpreterModel
from functions.preprocess.tensors import ELEMENT, STRING, Tensor, element_count
from infra.adopt.opened import Arrays, Opened, Reference
from infra.proof import batches
from infra.rows import RowError, read_rows
from models.convert.errors import ConversionError
from models.manifest import TensorSpec
from models.parity import compare
from models.quantize import Candidate

PREDICT = "predict"
RANDOM_ROWS = 16
TEXT_WORDS = 12
MOST_SAMPLE_ROWS = 1_000
FREE_LENGTH = 8  # of a free dimension that is not the batch, where there is no sample

# Of the largest output: what the arithmetic of each may round away.
TOLERANCE = {"as brought": 1e-5, "float32": 1e-5, "float16": 5e-3, "dynamic-int8": 5e-2}


def rows_for(sample: str | None, model: engine.Model, words: Sequence[str] = ()) -> list[Any]:
    """Instances from the sample file, or made up, of `words` where the model takes texts."""
    if sample:
        rows = list(islice(read_rows(None, Path(sample), model.forms, model.takes_missing), MOST_SAMPLE_ROWS))
        if not rows:
            raise RowError(f"{sample} has no rows: at least one was expected")
        return rows
    count = max(RANDOM_ROWS, model.manifest.signatures[PREDICT].inputs[0].shape[0])
    columns = {}
    for spec in model.inputs:
        tensor = _texts(spec, count, words) if spec.dtype == STRING else made_up(*_of(spec), count)
        columns[spec.name] = json.loads(f"[{','.join(nested(_short(tensor), tensor.shape))}]")
    if len(columns) == 1:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def made_up(shape: tuple[int, ...], dtype: str, name: str, count: int) -> Tensor:
    """Seeded values that most models take: floats around 0 in three digits, whole numbers 0 and 1."""
    chance = random.Random(f"{name} {count}")  # noqa: S311 - no secret
    full = (count, *(FREE_LENGTH if size < 0 else size for size in shape[1:]))
    code = ELEMENT[dtype][0].replace("?", "B")
    draw = (lambda: round(chance.gauss(0, 1), 3)) if code in "fd" else (lambda: chance.randrange(2))
    return Tensor(name, dtype, full, array(code, [draw() for _ in range(element_count(full))]).tobytes())


def _short(tensor: Tensor) -> list[str]:
    """The values as one would type them: made up of three digits, float32 has more."""
    if not tensor.dtype.startswith("float"):
        return texts_of(tensor)
    return [repr(round(number, 3)) for number in numbers_of(tensor)]


def _of(spec: TensorSpec) -> tuple[tuple[int, ...], str, str]:
    return spec.shape, spec.dtype, spec.name


def _texts(spec: TensorSpec, count: int, words: Sequence[str]) -> Tensor:
    chance = random.Random(f"{spec.name} {count}")  # noqa: S311 - no secret
    texts = [" ".join(chance.choices(words or ("a",), k=TEXT_WORDS)) for _ in range(count)]
    return Tensor(spec.name, STRING, (count,), texts)


def prove_rows(
    model: engine.Model, data: bytes, rows: Sequence[Any], opened: Opened, labels: Sequence[str]
) -> tuple[Candidate, str, tuple[str, ...]]:
    """Answer the rows with source and serving code; gives the outcome, the task and the labels.

    All outputs are compared. A fixed batch is filled with whole batches only.
    """
    source = opened.reference or _interpreted(data)
    draft = model.manifest
    most, fixed = draft.max_instances, draft.signatures[PREDICT].inputs[0].shape[0] > 0
    if fixed and len(rows) < most:
        raise ConversionError(
            f"its batch is fixed at {most}: --sample needs that many rows, {len(rows)} came"
        )
    expected, found = [], []
    for batch, form in batches(model, rows):
        if fixed and len(batch) < most:
            break
        tensors = tensors_from_instances(batch, form, model.takes_missing)
        prepared = model.prepare(tensors)
        outputs = model.run(prepared)
        # A text goes to its source as it is: what becomes of it is part of the proof.
        given = tensors if model.inputs[0].dtype == STRING else prepared
        results = source({tensor.name: _array(tensor) for tensor in given})
        size = tensors[0].shape[0]
        _check_outputs(outputs, size)
        found.append([_array(tensor).reshape(size, -1) for tensor in outputs])
        expected.append([np.asarray(results[tensor.name]).reshape(size, -1) for tensor in outputs])
    before, after = _joined(expected), _joined(found)
    task, names = _task(np.concatenate([part[0] for part in expected]), labels, opened.labels)
    largest = float(np.abs(before[np.isfinite(before)]).max(initial=1.0))
    gate = draft.parity.gate._replace(max_diff=TOLERANCE[draft.quantization] * largest)
    labelled = task if len(found[0]) == 1 else "prediction"
    parity, disagreed = compare(lambda _: before, lambda _: after, list(before), gate, labelled)
    return Candidate(draft.quantization, data, parity, disagreed), task, names


def takes_missing(model: engine.Model, opened: Opened) -> bool:
    """Whether the source answers rows that lack values, and the serving code as it does.

    The rows are made up: each column is missing once, then all are at once.
    """
    spec, *others = model.inputs
    if opened.reference is None or others or not spec.dtype.startswith("float") or len(spec.shape) != 2:
        return False
    batch, width = spec.shape
    if batch > 0 or width < 0:
        return False
    rows = _array(made_up(*_of(spec), min(width, MOST_SAMPLE_ROWS))).tolist()
    for number, row in enumerate(rows):
        row[number] = None
    rows.append([None] * width)
    tolerance = TOLERANCE[model.manifest.quantization]
    try:
        for instances, form in batches(model, rows):
            prepared = model.prepare(tensors_from_instances(instances, form, takes_missing=True))
            results = opened.reference({tensor.name: _array(tensor) for tensor in prepared})
            for tensor in model.run(prepared):
                found = _array(tensor).reshape(len(instances), -1)
                expected = np.asarray(results[tensor.name]).reshape(len(instances), -1)
                largest = max(1.0, float(np.abs(expected).max()))
                if not np.abs(found - expected).max() <= tolerance * largest:  # nor where it is NaN
                    return False
                if (found.argmax(axis=1) != expected.argmax(axis=1)).any():
                    return False
    except Exception:  # a framework refuses rows with whatever it likes
        return False
    return True


def _check_outputs(outputs: Sequence[Tensor], size: int) -> None:
    for tensor in outputs:
        if tensor.shape[:1] != (size,):
            raise ConversionError(
                f"the output {tensor.name!r} has the shape {list(tensor.shape)} for {size} instances: its "
                "first dimension should count them. Convert the model again so that it answers row by row"
            )


def _interpreted(data: bytes) -> Reference:
    """LiteRT's stock Interpreter, for a file that is its own source."""
    stock = InterpreterModel(data)

    def reference(inputs: Arrays) -> Arrays:
        given = [
            Tensor(name, str(value.dtype), value.shape, value.tobytes()) for name, value in inputs.items()
        ]
        return {tensor.name: _array(tensor) for tensor in stock.run("predict", given)}

    return reference


def _task(
    scores: NDArray[Any], given: Sequence[str], bundled: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """What the first output says: one score a label is a classification, anything else its own value."""
    labels, width = tuple(given) or bundled, scores.shape[1]
    if width == len(labels) > 1:
        sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=0.02) and scores.min() >= 0
        return "multiclass-classification" if sums_to_one else "margin-classification", labels
    if width == 1 and len(labels) == 2 and scores.min() >= 0 and scores.max() <= 1:
        return "binary-classification", labels
    if given:
        raise ConversionError(
            f"{len(labels)} labels were given, and its first output has {width} scores an instance: give "
            f"{width} labels, two for a single probability, or none"
        )
    return "prediction", ()


def _joined(parts: Sequence[Sequence[NDArray[Any]]]) -> NDArray[np.float64]:
    return np.concatenate([np.concatenate(part, axis=1) for part in parts]).astype(np.float64)


def _array(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == STRING:
        return np.array(tensor.data, dtype=object)
    assert isinstance(tensor.data, bytes)
    return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
