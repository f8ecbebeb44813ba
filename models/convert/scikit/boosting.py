"""Gradient boosting: leaf values summed onto a start, then the loss' own link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.forest import Forest, probabilities
from models.convert.layout import Tree
from models.convert.scikit.affine import Affine
from models.convert.scikit.trees import absorb, tree
from models.convert.scores import SCORES, VALUES, Outputs, Tensor
from models.convert.tflite import ConversionError

Predict = Callable[[Tensor], Outputs]


def classifier(model: Any, before: Affine | None) -> Predict:
    """GradientBoostingClassifier. Two classes: the second one from a raw value of zero on."""
    forest, groups, start = _stages(model, before)
    factor = 2.0 if model.loss == "exponential" else 1.0

    def predict(rows: Tensor) -> Outputs:
        return {SCORES: probabilities(forest.total(rows, groups, start), factor, zero_wins=True)}

    return predict


def regressor(model: Any, before: Affine | None) -> Predict:
    """GradientBoostingRegressor."""
    forest, groups, start = _stages(model, before)
    return lambda rows: {VALUES: forest.total(rows, groups, start).scores()[:, 0]}


def histogram_classifier(model: Any, before: Affine | None) -> Predict:
    """HistGradientBoostingClassifier. Two classes: the second one above zero."""
    forest, groups, start = _iterations(model, before)
    return lambda rows: {SCORES: probabilities(forest.total(rows, groups, start))}


def histogram_regressor(model: Any, before: Affine | None) -> Predict:
    """HistGradientBoostingRegressor; Poisson and gamma losses have a logarithmic link."""
    forest, groups, start = _iterations(model, before)
    link = tf.exp if model.loss in ("poisson", "gamma") else tf.identity
    return lambda rows: {VALUES: link(forest.total(rows, groups, start).scores()[:, 0])}


def _stages(model: Any, before: Affine | None) -> tuple[Forest, int, Any]:
    try:
        start = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0]
        other = model._raw_predict_init(np.ones((1, model.n_features_in_), np.float32))[0]
    except ValueError as error:
        raise ConversionError(
            f"{type(model).__name__}: its init estimator can't be asked: {error}"
        ) from error
    if model.init is not None and (model.init != "zero" or not np.array_equal(start, other)):
        raise ConversionError(
            f"{type(model).__name__} starts from the estimator {model.init!r}: "
            "the default and 'zero' can be converted"
        )
    members = [member.tree_ for member in model.estimators_.ravel()]
    trees = [tree(member, model.learning_rate * member.value[:, 0, :]) for member in members]
    return Forest(absorb(trees, before), model.n_features_in_), model.estimators_.shape[1], start


def _iterations(model: Any, before: Affine | None) -> tuple[Forest, int, Any]:
    predictors = [predictor for iteration in model._predictors for predictor in iteration]
    if model.is_categorical_ is not None:  # its columns are put in another order besides
        raise ConversionError(
            f"{type(model).__name__} splits on categories: "
            "one-hot encode them, or leave categorical_features=None"
        )
    trees = [_histogram_tree(predictor.nodes) for predictor in predictors]
    start = np.ravel(model._baseline_prediction)
    return Forest(absorb(trees, before, single=False), model.n_features_in_), len(start), start


def _histogram_tree(nodes: Any) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=nodes["feature_idx"],
        threshold=np.where(is_leaf, 0.0, nodes["num_threshold"]),
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        values=nodes["value"][:, None],
        missing_left=nodes["missing_go_to_left"],
    )
