"""MLPClassifier and MLPRegressor: dense layers, the first with the scaler before it folded in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from models.convert.scikit.affine import Affine
from models.convert.scikit.linear import Map, probable, product, sides
from models.convert.scores import VALUES, Outputs, Tensor
from models.convert.tflite import ConversionError

Layers = list[tuple[Any, Any]]
"""Weights and bias of each."""

ACTIVATIONS: dict[str, Map] = {
    "identity": tf.identity,
    "logistic": tf.sigmoid,
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
}


def classifier(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """A sigmoid for two classes, else softmax."""
    if model._label_binarizer.y_type_.startswith("multilabel"):
        raise ConversionError("MLPClassifier gives several labels a row: fit one model for each")
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    layers[-1] = sides(*layers[-1])
    return probable(_last(model, layers, before), tf.nn.softmax)


def regressor(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """Values [n] or [n, outputs]."""
    if model.out_activation_ != "identity":
        raise ConversionError(
            f"MLPRegressor ends in {model.out_activation_!r}: the squared loss can be converted"
        )
    last = _last(model, list(zip(model.coefs_, model.intercepts_, strict=True)), before)
    return lambda rows: {VALUES: last(rows) if model.n_outputs_ > 1 else last(rows)[:, 0]}


def _last(model: Any, fitted: Layers, before: Affine | None) -> Map:
    """Rows → what the output layer gives before its activation."""
    layers = [
        product(weights, bias, None if number else before) for number, (weights, bias) in enumerate(fitted)
    ]
    activate = ACTIVATIONS[model.activation]

    def run(rows: Tensor) -> Tensor:
        for layer in layers[:-1]:
            rows = activate(layer(rows))
        return layers[-1](rows)

    return run
