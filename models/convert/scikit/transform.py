"""Steps before a model: what fills, encodes, selects or projects features, as float32 ops in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.scikit import kinds
from models.convert.scores import Tensor, constant
from models.convert.tflite import ConversionError

Map = Callable[[Tensor], Tensor]


def imputer(step: Any) -> Map:
    """SimpleImputer: NaN, or another number that stands for what is missing, becomes the statistic."""
    statistics = np.asarray(step.statistics_, np.float64)
    if np.isnan(statistics).any():
        raise ConversionError(
            "SimpleImputer drops columns that were wholly missing: leave them out, and fit again"
        )
    fill = constant(statistics)
    if isinstance(step.missing_values, float) and np.isnan(step.missing_values):
        is_missing: Map = lambda rows: tf.not_equal(rows, rows)  # noqa: E731
    else:
        mark = np.float32(step.missing_values)
        is_missing = lambda rows: tf.equal(rows, mark)  # noqa: E731
    seen = None if step.indicator_ is None else constant(step.indicator_.features_, np.int32)

    def impute(rows: Tensor) -> Tensor:
        missing = is_missing(rows)
        filled = tf.where(missing, fill, rows)
        if seen is None:
            return filled
        return tf.concat([filled, tf.cast(tf.gather(missing, seen, axis=1), tf.float32)], axis=1)

    return impute


def one_hot(step: Any) -> Map:
    """OneHotEncoder over numeric categories; an unknown one is all zeros, whatever `handle_unknown` says."""
    if step.handle_unknown not in ("ignore", "error") or step._infrequent_enabled:
        raise ConversionError(
            "OneHotEncoder groups infrequent categories: set handle_unknown='ignore' without limits"
        )
    columns: list[int] = []
    known: list[float] = []
    for column, categories in enumerate(step.categories_):
        if categories.dtype.kind not in "iufb":
            raise ConversionError(
                f"OneHotEncoder has categories such as {categories[0]!r} in column {column}: "
                "a graph takes numbers. "
                "Number the categories (OrdinalEncoder) before the model, and fit the encoder on those"
            )
        dropped = None if step.drop_idx_ is None else step.drop_idx_[column]
        kept = [value for number, value in enumerate(categories) if number != dropped]
        columns += [column] * len(kept)
        known += [float(value) for value in kept]
    which, values = constant(columns, np.int32), constant(known)
    is_nan = np.isnan(known)

    def encode(rows: Tensor) -> Tensor:
        given = tf.gather(rows, which, axis=1)
        same = tf.equal(given, values)
        if is_nan.any():
            same = tf.logical_or(same, tf.logical_and(tf.not_equal(given, given), constant(is_nan, np.bool_)))
        return tf.cast(same, tf.float32)

    return encode


def clipped_min_max(step: Any) -> Map:
    """MinMaxScaler that clips."""
    low, high = (np.float32(limit) for limit in step.feature_range)
    factor, offset = constant(step.scale_), constant(step.min_)
    return lambda rows: tf.clip_by_value(rows * factor + offset, low, high)


def normalizer(step: Any) -> Map:
    """Normalizer: rows of length one; a row of zeros stays."""
    lengths: dict[str, Map] = {
        "l1": lambda rows: tf.reduce_sum(tf.abs(rows), axis=1, keepdims=True),
        "l2": lambda rows: tf.sqrt(tf.reduce_sum(rows * rows, axis=1, keepdims=True)),
        "max": lambda rows: tf.reduce_max(tf.abs(rows), axis=1, keepdims=True),
    }

    def normalize(rows: Tensor) -> Tensor:
        length = lengths[step.norm](rows)
        return rows / tf.where(length > 0, length, tf.ones_like(length))

    return normalize


def projection(step: Any) -> Map:
    """PCA and TruncatedSVD: onto the components, from the mean."""
    onto = step.components_.T
    if getattr(step, "whiten", False):
        scale = np.sqrt(step.explained_variance_)
        onto = onto / np.maximum(scale, np.finfo(scale.dtype).eps)
    into = constant(onto)
    mean = getattr(step, "mean_", None)
    if mean is None:
        return lambda rows: tf.matmul(rows, into)
    centre = mean.astype(np.float32)
    rest = constant((centre.astype(np.float64) - mean) @ onto)
    return lambda rows: tf.matmul(rows - constant(centre), into) + rest


def selection(step: Any) -> Map:
    """VarianceThreshold, SelectKBest and their like: the columns that are kept."""
    kept = constant(np.flatnonzero(step.get_support()), np.int32)
    return lambda rows: tf.gather(rows, kept, axis=1)


def columns(step: Any) -> Map:
    """ColumnTransformer: each part over its columns, side by side."""
    parts: list[Map] = []
    for name, part, chosen in step.transformers_:
        if part == "drop" or not np.size(chosen):
            continue
        where = constant(_positions(step, chosen), np.int32)
        if part != "passthrough" and type(part).__name__ != "FunctionTransformer":
            parts.append(_over(where, kinds.transformer(part)))
        elif part == "passthrough" or part.func is None:
            parts.append(_over(where, tf.identity))
        else:
            raise ConversionError(
                f"the part {name!r} of a ColumnTransformer is a function: use an encoder or scaler"
            )
    return lambda rows: tf.concat([part(rows) for part in parts], axis=1)


def union(step: Any) -> Map:
    """FeatureUnion: all parts over the same columns, side by side."""
    parts = [kinds.transformer(part) for _, part in step.transformer_list]
    return lambda rows: tf.concat([part(rows) for part in parts], axis=1)


def _over(where: Tensor, part: Map) -> Map:
    return lambda rows: part(tf.gather(rows, where, axis=1))


def _positions(step: Any, chosen: Any) -> Any:
    """Column numbers of a slice, a mask, names or numbers."""
    if isinstance(chosen, slice):
        return np.arange(step.n_features_in_)[chosen]
    chosen = np.atleast_1d(chosen)
    if chosen.dtype == bool:
        return np.flatnonzero(chosen)
    if chosen.dtype.kind in "iu":
        return np.arange(step.n_features_in_)[chosen]
    return [list(step.feature_names_in_).index(name) for name in chosen]
