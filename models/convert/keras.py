"""Keras models, Sequential or Functional, as a graph of TensorFlow ops that LiteRT has builtins for."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models.convert.recurrent import loops
from models.convert.tflite import ConversionError, Graph

LOOKUPS = (keras.layers.TextVectorization, keras.layers.StringLookup, keras.layers.IntegerLookup)


def graph(model: keras.Model) -> Graph:
    """Trace inference; tensors are named as the model's Input and output layers are.

    ConversionError where the model has no declared inputs, or a layer can't be served.
    """
    if not getattr(model, "inputs", None):
        raise ConversionError(
            f"the model {model.name!r} declares no inputs. Build it as a Sequential with an Input, or as a "
            "Functional model; a subclassed one can be wrapped: keras.Model(inputs, subclassed(inputs))"
        )
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, LOOKUPS):
            raise ConversionError(
                f"layer {layer.name!r} ({type(layer).__name__}) looks its inputs up in a table, which no "
                "LiteRT builtin does. Build the model from the layers behind it, with their weights, and let "
                "its preprocessing make the numbers: keras-tokenizer, tfidf and wordpiece are kinds of it"
            )
    functional = model._functional if isinstance(model, keras.Sequential) else model
    names = [tensor._keras_history.operation.name for tensor in functional.inputs]
    output_names = functional.output_names
    if len(set(output_names)) < len(output_names):
        raise ConversionError(
            f"the outputs {output_names} share names: give each output a layer of its own, with a name"
        )

    def predict(**tensors: Any) -> dict[str, Any]:
        given = keras.tree.pack_sequence_as(functional._inputs_struct, [tensors[name] for name in names])
        results = keras.tree.flatten(model(given, training=False))
        return dict(zip(output_names, results, strict=True))

    specs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(names, functional.inputs, strict=True)
    }
    with loops(model):
        traced = tf.function(predict, autograph=False).get_concrete_function(**specs)
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    layers = [layer.name for layer in model._flatten_layers(include_self=False)]
    return Graph(module, {"predict": traced}, layers)


def versions() -> dict[str, str]:
    """Keras and TensorFlow."""
    return {"framework": "keras", "keras": keras.__version__, "tensorflow": tf.__version__}
