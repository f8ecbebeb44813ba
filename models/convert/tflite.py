"""A graph of TensorFlow ops → a LiteRT file of builtin ops, with named signatures.

Flex and custom ops are never allowed: a file that needs them runs nowhere but in TensorFlow. What
has no builtin is refused by the op and, where the converter says it, by the layer that uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from models.convert.errors import ConversionError
from models.manifest import Signature, TensorSpec

__all__ = ["ConversionError", "Graph", "save", "signatures", "write"]

# The converter's message names an op it has no builtin for, and in a location the scopes it came from.
_REFUSED = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_PLACE = re.compile(r'"(\w+):", "([^"@]+)@')

REMEDY = "Use layers that have a LiteRT builtin, or do that step before the model, in its preprocessing"


class Graph(NamedTuple):
    """Concrete functions by signature name, and the object that owns their variables.

    `layers` are the names a refusal may mention. Without the owner, TensorFlow writes a file
    without weights and says nothing.
    """

    module: tf.Module
    signatures: dict[str, Any]
    layers: Sequence[str]


def save(graph: Graph, folder: Path) -> None:
    """Write the graph as a SavedModel, from which `write` makes any number of candidates.

    ConversionError for a variable or table that the graph's module does not own: it would be left
    out of the file without a word.
    """
    owned = {id(variable.handle) for variable in graph.module.variables}
    for name, function in graph.signatures.items():
        captured = (item for item in function.captured_inputs if item.dtype == tf.resource)
        strays = sum(id(item) not in owned for item in captured)
        if strays:
            raise ConversionError(
                f"the signature {name!r} uses {strays} variables or tables from outside the model. "
                "Make them weights of a layer, so that they are saved with it"
            )
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(graph.module, str(folder), signatures=graph.signatures, options=options)


def write(graph: Graph, folder: Path, quantize: Callable[[Any], None]) -> bytes:
    """Convert what `save` left in `folder`; `quantize` sets the converter up for one candidate."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(graph.signatures))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = False
    quantize(converter)
    try:
        return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its C++ side throws
        raise ConversionError(_refusal(str(error), graph.layers)) from error


def signatures(data: bytes) -> dict[str, Signature]:
    """The signatures of a LiteRT file of our own making, with -1 for free dimensions."""
    interpreter = Interpreter(model_content=data)
    found = {}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        found[key] = Signature(_specs(runner.get_input_details()), _specs(runner.get_output_details()))
    return found


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, item["dtype"].__name__, tuple(int(size) for size in item["shape_signature"]))
        for name, item in details.items()
    )


def _refusal(message: str, layers: Sequence[str]) -> str:
    """Say which ops of which layers have no builtin; the converter's own words where it says neither."""
    refused = set(_REFUSED.findall(message))
    if not refused:
        return f"TensorFlow's converter refused the model: {message.strip()[:300]}"
    places = {op: _layer(path, layers) for op, path in _PLACE.findall(message) if op in refused}
    parts = (f"tf.{op} in {places.get(op, 'an unnamed place')}" for op in sorted(refused))
    return f"no LiteRT builtin does {', or '.join(parts)}. {REMEDY}"


def _layer(path: str, layers: Sequence[str]) -> str:
    """The innermost layer on a path of scopes, where Keras may have numbered a layer's name once more."""
    for scope in reversed(path.split("/")):
        for name in (scope, re.sub(r"_\d+$", "", scope)):
            if name in layers:
                return f"layer {name!r}"
    return path
