"""What may be brought, and how each kind is opened. Runs in the child process alone: files are not trusted.

A new kind is one function and one line in OPENERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from numpy.typing import NDArray

from models.convert.errors import ConversionError

Arrays = Mapping[str, NDArray[Any]]
Reference = Callable[[Arrays], Arrays]
"""Takes inputs by name, gives outputs by name, by the source framework alone."""


class Opened(NamedTuple):
    """A brought model: files to choose from, by quantization, and what answers as its source does.

    Without a `reference` the file is its own source, and LiteRT's stock Interpreter takes that part.
    """

    files: dict[str, bytes]
    reference: Reference | None
    labels: tuple[str, ...]
    source: dict[str, str]
    notes: list[str]


class Asked(NamedTuple):
    """What the operator said of the file."""

    path: Path
    signature: str | None
    raw: bool
    trust: bool
    quantizations: Sequence[str]


def open_model(kind: str, asked: Asked) -> Opened:
    """Open a file of a kind; ConversionError says why it can't be served and what would help."""
    return OPENERS[kind](asked)


def _tflite(asked: Asked) -> Opened:
    from models.convert.ready import adapt, bundled_labels

    data = asked.path.read_bytes()
    adapted = adapt(data, signature=asked.signature, raw=asked.raw)
    source = {"framework": "litert", "file": asked.path.name}
    return Opened({"as brought": adapted.data}, None, bundled_labels(data), source, adapted.notes)


def _keras(asked: Asked) -> Opened:
    import keras
    import numpy as np

    from models.convert import keras as convert

    try:
        model = keras.models.load_model(asked.path, compile=False, safe_mode=not asked.trust)
    except Exception as error:
        raise ConversionError(_unreadable(asked.path, error)) from error
    graph = convert.graph(model)
    functional = model._functional if isinstance(model, keras.Sequential) else model
    names = functional.output_names

    def reference(inputs: Arrays) -> Arrays:
        ordered = [inputs[tensor._keras_history.operation.name] for tensor in functional.inputs]
        given = keras.tree.pack_sequence_as(functional._inputs_struct, ordered)
        results = keras.tree.flatten(model(given, training=False))
        return dict(zip(names, map(np.asarray, results), strict=True))

    return Opened(_written(graph, asked), reference, (), convert.versions(), [])


def _saved_model(asked: Asked) -> Opened:
    import tensorflow as tf

    from models.convert.ready import adapt
    from models.convert.tflite import Graph, write
    from models.quantize import QUANTIZATIONS

    try:
        loaded = tf.saved_model.load(str(asked.path))
        known = list(loaded.signatures)
    except Exception as error:
        raise ConversionError(_unreadable(asked.path, error)) from error
    key = asked.signature or (
        "serving_default" if "serving_default" in known or len(known) != 1 else known[0]
    )
    if key not in known:
        found = ", ".join(known) or "none"
        raise ConversionError(f"the SavedModel has the signatures {found}: choose one with --signature")
    function = loaded.signatures[key]
    graph = Graph(tf.Module(), {key: function}, ())
    files = {
        name: adapt(write(graph, asked.path, QUANTIZATIONS[name]), signature=key).data
        for name in asked.quantizations
    }

    def reference(inputs: Arrays) -> Arrays:
        results = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in results.items()}

    source = {"framework": "tensorflow", "tensorflow": tf.__version__}
    return Opened(files, reference, (), source, [])


def _pickle(asked: Asked) -> Opened:
    import joblib

    try:
        model = joblib.load(asked.path)
    except Exception as error:
        raise ConversionError(_unreadable(asked.path, error)) from error
    return _scikit_learn(model, asked)


def _scikit_learn(model: Any, asked: Asked) -> Opened:
    from models.convert.scikit import source as convert

    graph = convert.graph(model)

    def reference(inputs: Arrays) -> Arrays:
        (rows,) = inputs.values()
        for name, method in (
            ("scores", "predict_proba"),
            ("decision", "decision_function"),
            ("values", "predict"),
        ):
            outputs = graph.signatures["predict"].structured_outputs
            if name in outputs and hasattr(model, method):
                return {name: getattr(model, method)(rows)}
        return {}

    labels = tuple(map(str, getattr(model, "classes_", ())))
    return Opened(_written(graph, asked), reference, labels, convert.versions(), [])


def _written(graph: Any, asked: Asked) -> dict[str, bytes]:
    from models.convert import tflite
    from models.quantize import QUANTIZATIONS

    with TemporaryDirectory() as folder:
        tflite.save(graph, Path(folder))
        return {name: tflite.write(graph, Path(folder), QUANTIZATIONS[name]) for name in asked.quantizations}


def _unreadable(path: Path, error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return (
        f"{path.name} can't be read by its framework: {first[:300]}. Custom layers and Lambda layers run "
        "code: save the model without them, or vouch for the file with --trust"
    )


OPENERS: dict[str, Callable[[Asked], Opened]] = {
    "keras": _keras,
    "pickle": _pickle,
    "savedmodel": _saved_model,
    "tflite": _tflite,
}
