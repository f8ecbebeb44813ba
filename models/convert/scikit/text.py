"""Linear models on TF-IDF: the graph takes term ids and counts, the vocabulary stays outside it.

Weights are gathered for the terms that a text has, so that the cost is the text's and not the
vocabulary's. A text without known terms has the length zero and keeps it.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.scikit import kinds
from models.convert.scores import Outputs, Tensor, constant
from models.convert.tflite import ConversionError, Graph

VECTORIZER = "TfidfVectorizer"
SMALLEST = np.float32(1e-30)


def graph(vectorizer: Any, model: Any) -> Graph:
    """The graph of ids int32 and counts float32, both [n, terms]; the id after the last term is none."""
    known = sorted(name for name, place in kinds.MODELS.items() if place.startswith("linear."))
    if type(model).__name__ not in known:
        raise ConversionError(
            f"{type(model).__name__} on TF-IDF can't be converted. These can: {', '.join(known)}"
        )
    weights = np.atleast_2d(model.coef_).T
    # Terms out of the vocabulary have a row of zeros after the last.
    table = constant(np.vstack([weights, np.zeros((1, weights.shape[1]))]))
    rarity = vectorizer.idf_ if vectorizer.use_idf else np.ones(len(weights))
    rarity = constant(np.append(rarity, 0.0))
    summed = copy(model)  # over rows that are the products already
    summed.coef_ = np.eye(weights.shape[1])
    predict = kinds.predictor(summed)

    def called(ids: Tensor, counts: Tensor) -> Outputs:
        weight = _frequency(vectorizer, counts) * tf.gather(rarity, ids)
        weight = weight / _length(vectorizer.norm, weight)
        return dict(predict(tf.reduce_sum(tf.gather(table, ids) * tf.expand_dims(weight, 2), axis=1)))

    traced = tf.function(called, autograph=False).get_concrete_function(
        ids=tf.TensorSpec([None, None], tf.int32, name="ids"),
        counts=tf.TensorSpec([None, None], tf.float32, name="counts"),
    )
    return Graph(tf.Module(), {"predict": traced}, ())


def _frequency(vectorizer: Any, counts: Tensor) -> Tensor:
    there = tf.cast(counts > 0, tf.float32)
    if vectorizer.binary:
        counts = there
    if vectorizer.sublinear_tf:
        return there * (1.0 + tf.math.log(tf.maximum(counts, 1.0)))
    return counts


def _length(norm: str | None, weight: Tensor) -> Tensor:
    if norm is None:
        return np.float32(1)
    if norm == "l1":
        return tf.maximum(tf.reduce_sum(tf.abs(weight), axis=1, keepdims=True), SMALLEST)
    return tf.maximum(tf.sqrt(tf.reduce_sum(weight * weight, axis=1, keepdims=True)), SMALLEST)
