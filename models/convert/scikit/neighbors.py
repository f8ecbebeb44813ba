"""k nearest neighbours by Euclidean distance: all distances at once, the k smallest, their votes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.scikit.affine import Affine
from models.convert.scikit.svm import squared_distances
from models.convert.scores import SCORES, VALUES, Outputs, Tensor, agree, constant, first_largest
from models.convert.tflite import ConversionError


def classifier(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """KNeighborsClassifier: scores are the shares of the votes; of equal ones the first class wins."""
    if model.outputs_2d_:
        raise ConversionError("KNeighborsClassifier has several outputs: fit one model for each")
    nearest = _nearest(model, before)
    votes = constant(np.eye(len(model.classes_))[model._y])

    def predict(rows: Tensor) -> Outputs:
        which, weights = nearest(rows)
        counted = tf.reduce_sum(tf.gather(votes, which) * tf.expand_dims(weights, 2), axis=1)
        shares = counted / tf.reduce_sum(weights, axis=1, keepdims=True)
        return {SCORES: agree(shares, first_largest(counted))}

    return predict


def regressor(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """KNeighborsRegressor: the weighted mean of the neighbours' values."""
    nearest, known = _nearest(model, before), np.asarray(model._y, np.float64)
    values = constant(known.reshape(len(known), -1))

    def predict(rows: Tensor) -> Outputs:
        which, weights = nearest(rows)
        found = tf.reduce_sum(tf.gather(values, which) * tf.expand_dims(weights, 2), axis=1)
        found = found / tf.reduce_sum(weights, axis=1, keepdims=True)
        return {VALUES: found if known.ndim > 1 else found[:, 0]}

    return predict


def _nearest(model: Any, before: Affine | None) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Rows → indices [n, k] of the nearest points, and their weights [n, k]."""
    if model.effective_metric_ != "euclidean" or not isinstance(model.weights, (str, type(None))):
        raise ConversionError(
            f"{type(model).__name__} measures by {model.effective_metric_!r} with weights {model.weights!r}: "
            "the Euclidean metric with 'uniform' or 'distance' can be converted"
        )
    points = model._fit_X
    measure = squared_distances(
        points.toarray() if hasattr(points, "toarray") else np.asarray(points), before
    )

    def find(rows: Tensor) -> tuple[Tensor, Tensor]:
        squared, which = tf.math.top_k(-measure(rows), model.n_neighbors)
        if model.weights != "distance":
            return which, tf.ones_like(squared)
        distance = tf.sqrt(-squared)
        same = tf.cast(distance <= 0, tf.float32)  # a point itself outweighs all others
        on_one = tf.reduce_max(same, axis=1, keepdims=True) > 0
        return which, tf.where(on_one, same, 1.0 / tf.maximum(distance, np.float32(1e-30)))

    return find
