"""LightGBM models by their own text file, read without LightGBM: `booster.save_model("model.txt")`.

Source: LightGBM's tree.cpp and tree.h, where `decision_type` is a bit field: 1 categorical,
2 missing goes left, 4 and 8 what counts as missing (0 nothing, and NaN is read as 0; 1 zero; 2 NaN);
and c_api.cpp, by which a value of a dense row that is not above 1e-35 is read as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.forest import Forest, Total, largest, probabilities
from models.convert.layout import Tree
from models.convert.scikit.source import trace
from models.convert.scores import SCORES, VALUES, Outputs, Tensor, agree
from models.convert.tflite import ConversionError, Graph

_CATEGORICAL, _LEFT, _ZERO, _NAN = 1, 2, 4, 8
_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg")
_LOGARITHMIC = ("poisson", "gamma", "tweedie")
_KNOWN = ("binary", "multiclass", "multiclassova", "cross_entropy", *_IDENTITY, *_LOGARITHMIC)
_ALMOST_ZERO = float(np.float32(1e-35))


def graph(model: bytes) -> Graph:
    """The graph of a model file's bytes; ConversionError says what of it can't be converted."""
    try:
        head, *blocks = model.decode().partition("\nend of trees")[0].split("\nTree=")
        return _graph(_pairs(head), [_pairs(block) for block in blocks])
    except (ValueError, KeyError, IndexError) as error:
        raise ConversionError(
            f"this is no LightGBM model in text ({type(error).__name__}: {error}). "
            'Save it with booster.save_model("model.txt")'
        ) from error


def versions() -> dict[str, str]:
    """TensorFlow; the file names its own format."""
    return {"framework": "lightgbm", "tensorflow": tf.__version__}


def _graph(head: Mapping[str, str], blocks: list[dict[str, str]]) -> Graph:
    features, groups = int(head["max_feature_idx"]) + 1, int(head["num_tree_per_iteration"])
    if "objective" not in head:
        raise ConversionError(
            "the LightGBM model was trained with an objective of its own, whose link is not in the file. "
            f"Train with one of these: {', '.join(_KNOWN)}"
        )
    objective, *options = head["objective"].split()
    if objective not in _KNOWN:
        raise ConversionError(
            f"LightGBM's objective {head['objective']!r} can't be converted. These can: {', '.join(_KNOWN)}"
        )
    steepness = next((float(o.partition(":")[2]) for o in options if o.startswith("sigmoid:")), 1.0)
    factor = groups / len(blocks) if "average_output" in head else 1.0
    forest = Forest([_tree(block) for block in blocks], features)

    def predict(rows: Tensor) -> Outputs:
        total = forest.total(rows, groups, np.zeros(groups))
        if objective in _CLASSES:
            return {SCORES: _CLASSES[objective](total, factor, steepness)}
        values = total.scores(factor)[:, 0]
        if "sqrt" in options:
            values = tf.sign(values) * values * values
        if objective == "cross_entropy":
            return {VALUES: tf.sigmoid(values)}
        return {VALUES: tf.exp(values) if objective in _LOGARITHMIC else values}

    return trace(predict, features)


def _each(total: Total, factor: float, steepness: float) -> Tensor:
    """One sigmoid a class, which don't sum to one."""
    return agree(tf.sigmoid(total.scores(factor * steepness)), largest(total))


_CLASSES: dict[str, Callable[[Total, float, float], Tensor]] = {
    "binary": lambda total, factor, steepness: probabilities(total, factor * steepness),
    "multiclass": lambda total, factor, steepness: probabilities(total, factor),
    "multiclassova": _each,
}


def _tree(block: Mapping[str, str]) -> Tree:
    """Inner nodes first, then the leaves; a child below zero is the leaf of its complement."""
    leaves = int(block["num_leaves"])
    inner = leaves - 1
    if block.get("is_linear", "0") != "0":
        raise ConversionError("a LightGBM tree has linear leaves: train with linear_tree=False")
    kinds = _numbers(block, "decision_type", int)[:inner]
    if (kinds & _CATEGORICAL).any():
        raise ConversionError("a LightGBM tree splits on categories: one-hot encode them and train again")
    if (kinds & _ZERO).any():
        raise ConversionError("a LightGBM tree takes zero for missing: train with zero_as_missing=False")
    threshold = _numbers(block, "threshold", float)[:inner]
    left, right = (_numbers(block, side, int)[:inner] for side in ("left_child", "right_child"))
    ends = np.full(leaves, -1)
    return Tree(
        feature=np.append(_numbers(block, "split_feature", int)[:inner], ends * 0),
        threshold=np.append(_beyond_zero(threshold), np.zeros(leaves)),
        left=np.append(np.where(left < 0, inner + ~left, left), ends),
        right=np.append(np.where(right < 0, inner + ~right, right), ends),
        values=np.append(np.zeros(inner), _numbers(block, "leaf_value", float)[:leaves])[:, None],
        missing_left=np.append(np.where(kinds & _NAN, kinds & _LEFT, threshold >= 0), ends) != 0,
    )


def _beyond_zero(threshold: NDArray[Any]) -> NDArray[Any]:
    """Thresholds among the values that are read as zero, moved out of them to the side that zero goes."""
    below = float(np.nextafter(np.float32(-_ALMOST_ZERO), np.float32(-np.inf)))
    inside = (threshold >= -_ALMOST_ZERO) & (threshold < _ALMOST_ZERO)
    return np.where(inside, np.where(threshold >= 0, _ALMOST_ZERO, below), threshold)


def _pairs(text: str) -> dict[str, str]:
    """The lines "key=value", and those of a key alone."""
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines()) if key}


def _numbers(block: Mapping[str, str], key: str, kind: Any) -> NDArray[Any]:
    return np.array([kind(word) for word in block.get(key, "").split()], dtype=kind)
