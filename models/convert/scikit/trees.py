"""Decision trees, random forests and extra trees: the mean of the leaves that a row reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.convert.forest import Forest, largest
from models.convert.layout import Tree, ordered_values
from models.convert.scikit.affine import Affine
from models.convert.scores import SCORES, VALUES, Outputs, Tensor, agree
from models.convert.tflite import ConversionError

Predict = Callable[[Tensor], Outputs]


def tree(fitted: Any, values: NDArray[Any]) -> Tree:
    """A `tree_` of scikit-learn, with values of one's own."""
    return Tree(
        feature=fitted.feature,
        threshold=fitted.threshold,
        left=fitted.children_left,
        right=fitted.children_right,
        values=values,
        missing_left=fitted.missing_go_to_left,
    )


def classifier(model: Any, before: Affine | None) -> Predict:
    """DecisionTree, RandomForest, ExtraTree(s) classifiers: scores are the mean of the leaves' shares."""
    if model.n_outputs_ > 1:
        raise ConversionError(
            f"{type(model).__name__} has {model.n_outputs_} outputs: fit one model for each"
        )
    members = _members(model)
    trees = [tree(member, member.value[:, 0, :]) for member in members]
    forest = Forest(absorb(trees, before), model.n_features_in_)

    if len(members) == 1:
        shares = single(forest.leaf_values)
        return lambda rows: {SCORES: forest.pick(shares, rows)}
    if forest.is_pure:
        return lambda rows: {SCORES: forest.counts(rows) * np.float32(1 / len(members))}

    def predict(rows: Tensor) -> Outputs:
        total = forest.total(rows)
        return {SCORES: agree(total.scores(1 / len(members)), largest(total))}

    return predict


def single(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Shares [leaves, classes] as float32 whose first largest is the first largest of the float64 ones."""
    rounded = shares.astype(np.float32)
    first = shares.argmax(axis=1)
    top = rounded.max(axis=1, keepdims=True)
    wins = np.arange(shares.shape[1]) == first[:, None]
    return np.asarray(np.where(wins, top, np.minimum(rounded, np.nextafter(top, np.float32(0)))), np.float32)


def regressor(model: Any, before: Affine | None) -> Predict:
    """DecisionTree, RandomForest, ExtraTree(s) regressors: values [n] or [n, outputs]."""
    members = _members(model)
    trees = [tree(member, member.value[:, :, 0]) for member in members]
    forest = Forest(absorb(trees, before), model.n_features_in_)

    def predict(rows: Tensor) -> Outputs:
        values = forest.total(rows).scores(1 / len(members))
        return {VALUES: values if model.n_outputs_ > 1 else values[:, 0]}

    return predict


def absorb(trees: list[Tree], before: Affine | None, single: bool = True) -> list[Tree]:
    """Trees over rows as they are before scaling: each threshold becomes the largest float32 that goes left.

    Found by bisection over all float32 with scikit-learn's own arithmetic, so that no row changes its
    leaf. `single`: the trees round what is scaled to float32 before they compare it.
    """
    return trees if before is None else [_absorbed(tree, before, single) for tree in trees]


def _absorbed(tree: Tree, before: Affine, single: bool) -> Tree:
    inner = tree.left >= 0
    feature = np.where(inner, tree.feature, 0)
    if not (before.line()[1][feature[inner]] > 0).all():
        raise ConversionError(
            "a scaler before a tree has a factor that is not above zero: fit it on more rows"
        )

    def goes_left(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        with np.errstate(over="ignore"):
            scaled = before.exact(ordered_values(keys).astype(np.float64), feature)
            scaled = scaled.astype(np.float32) if single else scaled
            return np.asarray(scaled <= tree.threshold)

    low = np.full(len(feature), -0x7F800000, np.int64)  # minus infinity: always left
    high = np.full(len(feature), 0x7F800000, np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        left = goes_left(middle)
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    low = np.where(goes_left(high), high, low)
    return tree._replace(threshold=np.where(inner, ordered_values(low).astype(np.float64), 0.0))


def _members(model: Any) -> list[Any]:
    return [member.tree_ for member in getattr(model, "estimators_", [model])]
