"""Support vector machines: kernel rows against the support vectors, then libsvm's votes and coupling.

Margins are kept in libsvm's own sense, one for each pair of classes i < j, above zero for i. For two
classes scikit-learn turns that sign around, and so do we at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.scikit.affine import Affine
from models.convert.scikit.linear import Map, product
from models.convert.scores import DECISION, VALUES, Outputs, Tensor, agree, constant, first_largest, margins
from models.convert.tflite import ConversionError

Pairs = list[tuple[int, int]]

FAR = np.float32(1e17)  # its square is a float32, and no kernel tells what lies beyond from it
MOST_ROUNDS = 100  # of libsvm's multiclass_probability
ALMOST_ZERO = 1e-7  # libsvm keeps a pair's probability this far from 0 and 1


def classifier(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """SVC, NuSVC: decision_function (ovr), and "probabilities" where it was fitted with them.

    The label is the one with the most votes, the first of equals, which is what `predict` gives.
    """
    margin, pairs = _margins(model, before), _pairs(model)

    def predict(rows: Tensor) -> Outputs:
        found = margin(rows)
        votes = _votes(found > 0, pairs)
        scores = margins(-found[:, 0]) if len(pairs) == 1 else _ovr(found, pairs)
        outputs = {DECISION: scores if model.break_ties else agree(scores, first_largest(votes))}
        if len(model._probA):  # fitted with probability=True
            outputs["probabilities"] = _couple(model, found, pairs)
        return outputs

    return predict


def decision(model: Any, before: Affine | None) -> Map:
    """decision_function: [n] for two classes, else [n, classes] or, for "ovo", [n, pairs]."""
    margin = _margins(model, before)
    if len(model.classes_) == 2:
        return lambda rows: -margin(rows)[:, 0]
    if model.decision_function_shape == "ovo":
        return margin
    return lambda rows: _ovr(margin(rows), _pairs(model))


def regressor(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """SVR, NuSVR."""
    value = _machine(model, np.asarray(_dense(model.dual_coef_)), model.intercept_, before)
    return lambda rows: {VALUES: value(rows)[:, 0]}


def _margins(model: Any, before: Affine | None) -> Map:
    """Rows → libsvm's margins [n, pairs]."""
    stop = np.cumsum(model.n_support_)
    of_class = [slice(end - size, end) for end, size in zip(stop, model.n_support_, strict=True)]
    packed = np.asarray(_dense(model._dual_coef_))  # row j-1 holds class i's coefficients against j
    pairs = _pairs(model)
    coefficients = np.zeros((len(pairs), packed.shape[1]))
    for number, (i, j) in enumerate(pairs):
        coefficients[number, of_class[i]] = packed[j - 1, of_class[i]]
        coefficients[number, of_class[j]] = packed[i, of_class[j]]
    return _machine(model, coefficients, model._intercept_, before)


def _machine(model: Any, coefficients: Any, intercept: Any, before: Affine | None) -> Map:
    """Rows → kernel(rows, support vectors) · coefficients + intercept."""
    vectors = np.asarray(_dense(model.support_vectors_), np.float64)
    if model.kernel == "linear":
        return product((coefficients @ vectors).T, np.asarray(intercept), before)
    if model.kernel not in ("rbf", "poly", "sigmoid"):
        raise ConversionError(
            f"{type(model).__name__} has the kernel {model.kernel!r}: "
            "rbf, linear, poly and sigmoid can be converted"
        )
    gamma, coef0 = float(model._gamma), float(model.coef0)
    weights, bias = constant(coefficients.T), constant(intercept)
    if model.kernel == "rbf":
        distance = squared_distances(vectors, before, np.sqrt(gamma))
        return lambda rows: tf.matmul(tf.exp(-distance(rows)), weights) + bias
    inner = product(gamma * vectors.T, np.full(len(vectors), coef0), before)
    if model.kernel == "sigmoid":
        return lambda rows: tf.matmul(tf.tanh(inner(rows)), weights) + bias
    return lambda rows: tf.matmul(_power(inner(rows), model.degree), weights) + bias


def squared_distances(points: Any, before: Affine | None, scale: float = 1.0) -> Map:
    """Rows → squared distances [n, points], times scale².

    As |x|² - 2xp + |p|², taken from a centre among the points: what cancels is then small. The centre is
    whole numbers where the points are, for whose distances float32 is then exact.
    """
    point, factor = before.line() if before else (np.zeros(points.shape[1]), np.ones(points.shape[1]))
    centre = point + points.mean(axis=0) / factor
    if before is None and not (points % 1).any():
        centre = np.rint(centre)
    centre = centre.astype(np.float32)  # the one that the rows are taken from, so the points too
    moved = (points - (centre.astype(np.float64) - point) * factor) * scale
    lengths = constant((moved**2).sum(axis=1))
    into = constant(-2.0 * moved.T)

    def measure(rows: Tensor) -> Tensor:
        near = (rows - constant(centre)) * constant(factor * scale)
        near = tf.clip_by_value(near, -FAR, FAR)
        own = tf.reduce_sum(near * near, axis=1, keepdims=True)
        return tf.maximum(own + (tf.matmul(near, into) + lengths), 0.0)

    return measure


def _couple(model: Any, found: Tensor, pairs: Pairs) -> Tensor:
    """Probabilities [n, classes] from pairwise ones: libsvm's multiclass_probability, its stopping rule too.

    Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling" (2004).
    """
    count = len(model.classes_)
    paired = tf.sigmoid(-(found * constant(model._probA) + constant(model._probB)))
    paired = tf.clip_by_value(paired, ALMOST_ZERO, 1 - ALMOST_ZERO)
    first, second = np.zeros((2, len(pairs), count * count))
    for number, (i, j) in enumerate(pairs):
        first[number, i * count + j] = second[number, j * count + i] = 1
    against = tf.matmul(paired, constant(first)) + tf.matmul(1 - paired, constant(second))
    against = tf.reshape(against, [-1, count, count])
    turned = tf.transpose(against, [0, 2, 1])
    diagonal = tf.reduce_sum(turned * turned, axis=-1)
    matrix = tf.eye(count) * tf.expand_dims(diagonal, 2) - turned * against
    start = tf.ones_like(diagonal) / count

    def one_round(number: Tensor, shares: Tensor, done: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        product_ = tf.reduce_sum(matrix * tf.expand_dims(shares, 1), axis=-1)
        whole = tf.reduce_sum(shares * product_, axis=-1, keepdims=True)
        error = tf.reduce_max(tf.abs(product_ - whole), axis=-1, keepdims=True)
        done = tf.maximum(done, tf.cast(error < 0.005 / count, tf.float32))
        new = shares
        for t in range(count):
            own = diagonal[:, t : t + 1]
            step = (whole - product_[:, t : t + 1]) / own
            whole = (whole + step * (step * own + 2 * product_[:, t : t + 1])) / ((1 + step) * (1 + step))
            product_ = (product_ + step * matrix[:, t, :]) / (1 + step)
            new = (new + step * constant(np.eye(count)[t : t + 1])) / (1 + step)
        return number + 1, done * shares + (1 - done) * new, done

    def not_done(number: Tensor, shares: Tensor, done: Tensor) -> Tensor:
        return tf.logical_and(number < max(MOST_ROUNDS, count), tf.reduce_min(done) < 0.5)

    return tf.while_loop(not_done, one_round, [0, start, tf.zeros_like(start[:, :1])])[1]


def _power(values: Tensor, degree: int) -> Tensor:
    """By products alone, which keep the sign of a base below zero."""
    result = tf.ones_like(values)
    for _ in range(degree):
        result = result * values
    return result


def _pairs(model: Any) -> Pairs:
    return list(combinations(range(len(model.classes_)), 2))


def _votes(first_wins: Tensor, pairs: Pairs) -> Tensor:
    """Votes by class from the pairs' verdicts."""
    won = tf.cast(first_wins, tf.float32)
    return tf.matmul(won, _members(pairs, 0)) + tf.matmul(1.0 - won, _members(pairs, 1))


def _ovr(found: Tensor, pairs: Pairs) -> Tensor:
    """scikit-learn's _ovr_decision_function: votes, and confidence to tell equal ones apart."""
    confidence = tf.matmul(found, _members(pairs, 0) - _members(pairs, 1))
    return _votes(found >= 0, pairs) + confidence / (3.0 * (tf.abs(confidence) + 1.0))


def _members(pairs: Pairs, side: int) -> Tensor:
    """[pairs, classes]: 1 where the class stands on that side of the pair."""
    count = max(second for _, second in pairs) + 1
    return constant([[float(pair[side] == number) for number in range(count)] for pair in pairs])


def _dense(values: Any) -> Any:
    return values.toarray() if hasattr(values, "toarray") else values
