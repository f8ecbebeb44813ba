"""Keras' own files: .keras, and .h5 of any version that Keras still reads."""

from __future__ import annotations

import re

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
        missing = _MISSING.search(str(error))
        if missing:
            raise ConversionError(f"it holds the {missing[1]} {missing[2]!r}, {ELSEWHERE}") from error
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


_MISSING = re.compile(r"Could not locate (class|function) '(\w+)'")
ELSEWHERE = (
    'whose code is not in the file: where that code is, model.export("folder") makes a SavedModel, which '
    "does without it"
)
REMEDY = (
    "If it was cut off, copy it again. A Lambda layer runs code of its maker's: save the model without it, "
    "or, where you trust whoever made it, vouch for the file with --trust"
)
