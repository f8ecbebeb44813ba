"""XGBoost models by their own JSON file, read without XGBoost: `save_model("model.json")`.

Trees of "gbtree" and "dart" boosters, with the objectives' own links. A file that says at which
iteration training was best is read up to there, as XGBClassifier and XGBRegressor do it.
Source: XGBoost's "Introduction to Model IO" and the schema it publishes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.forest import Forest, probabilities
from models.convert.layout import Tree, interleave
from models.convert.scikit.source import trace
from models.convert.scores import SCORES, VALUES, Outputs, Tensor
from models.convert.tflite import ConversionError, Graph

_LOGISTIC = ("binary:logistic", "reg:logistic")
_MULTICLASS = ("multi:softprob", "multi:softmax")
_LOGARITHMIC = ("count:poisson", "reg:gamma", "reg:tweedie")
_IDENTITY = (
    *("reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror"),
    *("reg:quantileerror", "rank:pairwise", "rank:ndcg", "rank:map"),
)


def graph(model: bytes) -> Graph:
    """The graph of a model file's bytes; ConversionError says what of it can't be converted."""
    try:
        learner = json.loads(model)["learner"]
        return _graph(learner)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConversionError(
            f"this is no XGBoost model in JSON ({type(error).__name__}: {error}). "
            'Save it with booster.save_model("model.json")'
        ) from error


def versions() -> dict[str, str]:
    """TensorFlow; the file names its own XGBoost."""
    return {"framework": "xgboost", "tensorflow": tf.__version__}


def _graph(learner: Mapping[str, Any]) -> Graph:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    known = (*_LOGISTIC, *_MULTICLASS, *_LOGARITHMIC, *_IDENTITY)
    if objective not in known:
        raise ConversionError(
            f"XGBoost's objective {objective!r} can't be converted. These can: {', '.join(known)}"
        )
    weights: Sequence[float] | None = None
    if booster["name"] == "dart":
        weights, booster = booster["weight_drop"], booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise ConversionError(f"XGBoost's booster {booster['name']!r} can't be converted: use gbtree or dart")
    parameters = learner["learner_model_param"]
    features = int(parameters["num_feature"])
    groups = max(int(parameters["num_class"]), 1)
    if int(parameters.get("num_target", 1)) > 1:
        raise ConversionError("an XGBoost model has several targets: fit one model for each")
    content = booster["model"]
    trees = [_tree(tree, 1.0 if weights is None else weights[at]) for at, tree in enumerate(content["trees"])]
    group_of = [int(group) for group in content["tree_info"]]
    last = _last(learner, content, len(trees))
    forest = Forest(interleave(trees[:last], group_of[:last], groups), features)
    start = _start(parameters["base_score"], objective, groups)

    def predict(rows: Tensor) -> Outputs:
        total = forest.total(rows, groups, start)
        if objective == "binary:logistic" or objective in _MULTICLASS:
            return {SCORES: probabilities(total)}
        values = total.scores()[:, 0]
        return {VALUES: _link(objective)(values)}

    return trace(predict, features)


def _tree(tree: Mapping[str, Any], weight: float) -> Tree:
    """A row goes left *below* the condition: at most the next smaller float32."""
    if any(tree.get("split_type", ())) or tree.get("categories"):
        raise ConversionError("an XGBoost tree splits on categories: one-hot encode them and train again")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise ConversionError("an XGBoost tree has several values a leaf: train one output a tree")
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)  # a leaf's is its value
    return Tree(
        feature=np.array(tree["split_indices"]),
        threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),
        left=left,
        right=np.array(tree["right_children"]),
        values=np.where(left < 0, conditions, 0).astype(np.float64)[:, None] * weight,
        missing_left=np.array(tree["default_left"], dtype=bool),
    )


def _last(learner: Mapping[str, Any], content: Mapping[str, Any], count: int) -> int:
    """How many trees there are up to the best iteration."""
    best = learner.get("attributes", {}).get("best_iteration")
    if best is None:
        return count
    starts = content.get("iteration_indptr")
    if starts is None:
        raise ConversionError("no iteration_indptr beside best_iteration: save it with XGBoost 2 or later")
    return int(starts[int(best) + 1])


def _start(base_score: str, objective: str, groups: int) -> NDArray[np.float64]:
    """The base score as a margin: a number, or since XGBoost 3 a list of them."""
    base = np.atleast_1d(np.array(json.loads(base_score), dtype=np.float64))
    base = np.broadcast_to(base, groups) if len(base) == 1 else base
    if objective in _LOGISTIC:
        return np.asarray(np.log(base / (1 - base)))
    return np.asarray(np.log(base)) if objective in _LOGARITHMIC else base


def _link(objective: str) -> Callable[[Tensor], Tensor]:
    if objective in _LOGISTIC:
        return tf.sigmoid  # type: ignore[no-any-return]
    return tf.exp if objective in _LOGARITHMIC else tf.identity  # type: ignore[no-any-return]
