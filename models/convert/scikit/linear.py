"""Linear models: one product with weights that hold the scaler before them, in float64 until the end.

Logistic and ridge, SGD, perceptron, linear SVC and SVR, and every regressor that is `coef_` and
`intercept_`. Rows are moved to the scaler's centre first: near it the subtraction is exact, and
large features don't drown small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.scikit.affine import Affine
from models.convert.scores import (
    DECISION,
    SCORES,
    VALUES,
    Outputs,
    Tensor,
    agree,
    constant,
    first_largest,
    sigmoids,
)
from models.convert.tflite import ConversionError

Map = Callable[[Tensor], Tensor]

SMALLEST_EXPONENT = np.float32(-745.13)  # below it float64's exp is zero


def product(weights: NDArray[Any], bias: NDArray[Any], before: Affine | None) -> Map:
    """Rows [n, features] → rows · weights [features, outputs] + bias, with `before` folded in."""
    if before is None:
        return lambda rows: tf.matmul(rows, constant(weights)) + constant(bias)
    point, factor = before.line()
    centre = point.astype(np.float32)
    folded = weights * factor[:, None]
    moved = bias + (centre.astype(np.float64) - point) @ folded
    if not centre.any():
        return lambda rows: tf.matmul(rows, constant(folded)) + constant(moved)
    return lambda rows: tf.matmul(rows - constant(centre), constant(folded)) + constant(moved)


def sides(weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and bias with a column for each class: of two classes the first is the second negated."""
    if weights.shape[1] > 1:
        return weights, bias
    return np.hstack([-weights, weights]), np.hstack([-bias, bias])


def decision(model: Any, before: Affine | None) -> Map:
    """decision_function: [n] for two classes, else [n, classes]."""
    weights, bias = _fitted(model)
    margin = product(weights, bias, before)
    return margin if weights.shape[1] > 1 else lambda rows: margin(rows)[:, 0]


def by_margin(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """Classifiers without probabilities: a margin for each class."""
    _single_label(model)
    margin = product(*sides(*_fitted(model)), before)
    return lambda rows: {DECISION: margin(rows)}


def logistic(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """LogisticRegression: a sigmoid for two classes, else softmax."""
    return probable(product(*sides(*_fitted(model)), before), tf.nn.softmax)


def sgd(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """SGDClassifier: normalised sigmoids for log_loss, margins for every other loss."""
    return (
        probable(product(*sides(*_fitted(model)), before), one_vs_rest)
        if model.loss == "log_loss"
        else by_margin(model, before)
    )


def regressor(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """Values [n], or [n, targets] where it was fitted on several."""
    weights, bias = _fitted(model)
    value = product(weights, bias, before)
    several = np.ndim(model.coef_) == 2 and weights.shape[1] > 1
    return lambda rows: {VALUES: value(rows) if several else value(rows)[:, 0]}


def one_vs_rest(found: Tensor) -> Tensor:
    """Sigmoids that are made to sum to one, by way of their logarithms: float32 has no room for small ones.

    Where all are too small for float64 even, scikit-learn gives every class the same share.
    """
    logarithms = tf.minimum(found, 0.0) - tf.math.log(1.0 + tf.exp(-tf.abs(found)))
    none = tf.reduce_max(found, axis=1, keepdims=True) < SMALLEST_EXPONENT
    return tf.where(none, np.float32(1 / found.shape[1]), tf.nn.softmax(logarithms))


def probable(margin: Map, normalise: Map) -> Callable[[Tensor], Outputs]:
    """Scores of margins with a column for each class (see `sides`): sigmoids of two, others normalised."""

    def predict(rows: Tensor) -> Outputs:
        found = margin(rows)
        if found.shape[1] == 2:
            return {SCORES: sigmoids(found)}
        return {SCORES: agree(normalise(found), first_largest(found))}

    return predict


def _fitted(model: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    weights = np.atleast_2d(model.coef_).T
    return weights, np.broadcast_to(model.intercept_, weights.shape[1:])


def _single_label(model: Any) -> None:
    binarizer = getattr(model, "_label_binarizer", None)
    if binarizer is not None and binarizer.y_type_.startswith("multilabel"):
        raise ConversionError(f"{type(model).__name__} gives several labels a row: fit one model for each")
