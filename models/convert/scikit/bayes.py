"""Naive Bayes: joint log likelihoods, and softmax over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.scikit.affine import Affine
from models.convert.scikit.linear import Map, product
from models.convert.scores import SCORES, Outputs, Tensor, agree, constant, first_largest

Predict = Callable[[Tensor], Outputs]


def gaussian(model: Any, before: Affine | None) -> Predict:
    """GaussianNB: differences are scaled before they are squared, so that none overflows early."""
    spread = 1 / np.sqrt(2 * model.var_)
    start = constant(np.log(model.class_prior_) - 0.5 * np.log(2 * np.pi * model.var_).sum(axis=1))
    mean, spread_ = constant(model.theta_[None]), constant(spread[None])
    scale = before.apply if before else tf.identity

    def joint(rows: Tensor) -> Tensor:
        off = (tf.expand_dims(scale(rows), 1) - mean) * spread_
        return start - tf.reduce_sum(off * off, axis=2)

    return _softmax(joint)


def multinomial(model: Any, before: Affine | None) -> Predict:
    """MultinomialNB."""
    return _linear(model.feature_log_prob_, model.class_log_prior_, before)


def complement(model: Any, before: Affine | None) -> Predict:
    """ComplementNB."""
    bias = model.class_log_prior_ if len(model.classes_) == 1 else np.zeros(len(model.classes_))
    return _linear(model.feature_log_prob_, bias, before)


def bernoulli(model: Any, before: Affine | None) -> Predict:
    """BernoulliNB, its binarising included."""
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    bias = model.class_log_prior_ + absent.sum(axis=1)
    joint = product((model.feature_log_prob_ - absent).T, bias, None)
    scale = before.apply if before else tf.identity
    if model.binarize is None:
        return _softmax(lambda rows: joint(scale(rows)))
    limit = np.float32(model.binarize)
    return _softmax(lambda rows: joint(tf.cast(scale(rows) > limit, tf.float32)))


def _linear(weights: NDArray[Any], bias: NDArray[Any], before: Affine | None) -> Predict:
    """Likelihoods by class relative to their mean: softmax is the same, and far less is rounded away."""
    weights, bias = weights - weights.mean(axis=0), bias - bias.mean()
    return _softmax(product(weights.T, bias, before))


def _softmax(joint: Map) -> Predict:
    def predict(rows: Tensor) -> Outputs:
        found = joint(rows)
        return {SCORES: agree(tf.nn.softmax(found), first_largest(found))}

    return predict
