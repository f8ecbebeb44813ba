"""Keras' own files: .keras, and .h5 of any version that Keras still reads."""

from __future__ import annotations

import keras
import numpy as np

from infra.adopt.opened import Arrays, Asked, Opened, unreadable, written
from models.convert import keras as convert
from models.convert.errors import ConversionError


def open_model(asked: Asked) -> Opened:
    """Load it, without a Lambda layer's code unless the operator vouches for that, and convert it."""
    try:
        model = keras.models.load_model(asked.path, compile=False, safe_mode=not asked.trust)
    except Exception as error:  # whatever damage, or a layer of somebody's own, makes of it
        raise ConversionError(unreadable(error, REMEDY)) from error
    graph = convert.graph(model)
    functional = model._functional if isinstance(model, keras.Sequential) else model
    names = functional.output_names

    def reference(inputs: Arrays) -> Arrays:
        ordered = [inputs[tensor._keras_history.operation.name] for tensor in functional.inputs]
        given = keras.tree.pack_sequence_as(functional._inputs_struct, ordered)
        results = keras.tree.flatten(model(given, training=False))
        return dict(zip(names, map(np.asarray, results), strict=True))

    return Opened(written(graph, asked), reference, convert.versions())


REMEDY = (
    "If it was cut off, copy it again. Custom and Lambda layers run code of their maker's: save the model "
    "without them, or, where you trust whoever made it, vouch for the file with --trust"
)
