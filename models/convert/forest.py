"""Decision trees as a graph: all trees of all rows go down one level at a time, and reach exact leaves.

Nodes lie breadth first, siblings side by side, so that a step is `left + (value > threshold)`. A leaf
leads to itself. All that a step needs of a node (feature, left child, threshold) is a row, fetched at once
and turned: LiteRT copies an element as slowly as a row, and this is what a forest's time goes into.

A threshold is the largest float32 that is not above the source's float64 one, hence for every float32
value the comparison comes out as the source's. A comparison with NaN is false: where what is missing goes
right, the node is turned around, `-value > the float below -threshold` leads left.

Leaf values are summed as 64-bit integers in a unit of 2**-61 of the largest possible total. That is
finer than float64 and knows no order of adding. Where every leaf holds one class, the sum is a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.scores import Tensor, agree, constant, sigmoids
from models.convert.tflite import ConversionError

PRUNE = 0.75  # a level is run for fewer trees once so few are deep enough: slicing costs an op too


class Tree(NamedTuple):
    """One tree: arrays by node, the root first; children are -1 at a leaf. `values` is [nodes, outputs].

    A row goes left where its feature is at most `threshold` (float64; -0.0 counts as 0.0).
    `missing_left` says where NaN goes; without it the source takes no NaN.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    values: NDArray[Any]
    missing_left: NDArray[Any] | None


class Total(NamedTuple):
    """A sum of leaf values [n, outputs] in whole `unit`s, as int64."""

    whole: Tensor
    unit: float

    def scores(self, factor: float = 1.0) -> Tensor:
        """The sum times a factor, as float32."""
        return tf.cast(self.whole, tf.float32) * np.float32(self.unit * factor)


class Forest:
    """Trees laid out for the graph."""

    def __init__(self, trees: Sequence[Tree], features: int) -> None:
        """Lay out trees over rows of `features` values."""
        laid_out = [_lay_out(tree, features) for tree in trees]
        # The deepest first, so that late levels run over a slice.
        self._order = np.argsort([-tree.depth for tree in laid_out], kind="stable")
        laid_out = [laid_out[number] for number in self._order]
        starts = np.cumsum([0, *(len(tree.first) for tree in laid_out[:-1])])
        self._nodes = np.concatenate(
            [
                np.stack([tree.feature, tree.first + start, tree.threshold.view(np.int32)])
                for tree, start in zip(laid_out, starts, strict=True)
            ],
            axis=1,
        ).astype(np.int32)
        self._copies = 1 + int(self._nodes[0].max(initial=0)) // features
        self._roots = starts
        self._depths = np.array([tree.depth for tree in laid_out])
        is_leaf = self._nodes[1] == np.arange(self._nodes.shape[1])
        self._leaf_of = np.where(is_leaf, np.cumsum(is_leaf) - 1, 0).astype(np.int32)
        self.leaf_values = np.concatenate([tree.values for tree in laid_out])[is_leaf]
        self._tree_of_leaf = np.repeat(np.arange(len(trees)), [len(tree.first) for tree in laid_out])[is_leaf]

    def leaves(self, rows: Tensor) -> Tensor:
        """The leaf [n, trees] that each float32 row reaches in each tree, as an index of `leaf_values`."""
        return tf.gather(constant(self._leaf_of, np.int32), self._ends(rows))

    def _ends(self, rows: Tensor) -> Tensor:
        """The node [n, trees] at which each float32 row ends in each tree."""
        values = self._values(rows)
        feature, first = (constant(part, np.int32) for part in self._nodes[:2, self._roots])
        threshold = constant(self._nodes[2, self._roots].view(np.float32))
        at = first + tf.cast(tf.gather(values, feature, axis=1) > threshold, tf.int32)
        nodes, done = constant(self._nodes.T, np.int32), []
        for level in range(1, int(self._depths[0])):
            deep = int((self._depths > level).sum())
            if deep < PRUNE * at.shape[1]:
                done.append(at[:, deep:])
                at = at[:, :deep]
            feature, first, bits = tf.unstack(tf.transpose(tf.gather(nodes, at), [2, 0, 1]), axis=0)
            above = tf.gather(values, feature, batch_dims=1) > tf.bitcast(bits, tf.float32)
            at = first + tf.cast(above, tf.int32)
        if done:
            at = tf.concat([at, *reversed(done)], axis=1)
        return at

    @property
    def is_pure(self) -> bool:
        """Whether every leaf is all of one output and nothing of the others."""
        return bool(((self.leaf_values == 0) | (self.leaf_values == 1)).all()) and bool(
            (self.leaf_values.sum(axis=1) == 1).all()
        )

    def counts(self, rows: Tensor) -> Tensor:
        """How many leaves reached are of each output, float32 [n, outputs], if the forest is pure."""
        kinds = constant(self.leaf_values.argmax(axis=1)[self._leaf_of], np.int32)
        each = constant(np.eye(self.leaf_values.shape[1]))
        return tf.reduce_sum(tf.gather(each, tf.gather(kinds, self._ends(rows))), axis=1)

    def total(
        self, rows: Tensor, groups: int = 1, start: Sequence[float] | NDArray[np.float64] = (0.0,)
    ) -> Total:
        """Sum the values of the leaves reached, `start` included: [n, groups × outputs].

        Trees of group g are those whose number leaves the remainder g; boosting has one a class.
        """
        largest = max(self._largest_total(groups), *np.abs(start), np.finfo(np.float32).tiny)
        unit = 2.0 ** (np.ceil(np.log2(largest)) - 61)
        values = np.rint(self.leaf_values / unit)
        offset = constant(np.rint(np.asarray(start) / unit), np.int64)
        if groups == values.shape[1] == 1:
            by_node = constant(values[self._leaf_of, 0], np.int64)
            summed = tf.reduce_sum(tf.gather(by_node, self._ends(rows)), axis=1, keepdims=True)
            return Total(summed + offset, unit)
        whole, reached = constant(values, np.int64), self.leaves(rows)
        if groups == 1:
            parts = [tf.reduce_sum(tf.gather(whole, reached), axis=1)]
        else:
            members = [np.flatnonzero(self._order % groups == group) for group in range(groups)]
            parts = [
                tf.reduce_sum(tf.gather(whole, tf.gather(reached, constant(m, np.int32), axis=1)), axis=1)
                for m in members
            ]
        total = parts[0] if groups == 1 else tf.concat(parts, axis=1)
        return Total(total + offset, unit)

    def _largest_total(self, groups: int) -> float:
        size = np.abs(self.leaf_values).max(axis=1, initial=0)
        by_tree = np.zeros(len(self._depths))
        np.maximum.at(by_tree, self._tree_of_leaf, size)
        return float(by_tree.sum())

    def _values(self, rows: Tensor) -> Tensor:
        """The rows, beside them turned around, and beside those which values are missing, where needed."""
        parts = [rows, -rows, tf.cast(tf.not_equal(rows, rows), tf.float32)]
        return rows if self._copies == 1 else tf.concat(parts[: self._copies], axis=1)


class _Laid(NamedTuple):
    """Nodes breadth first. A false comparison leads to `first`, a true one to the node behind it."""

    feature: NDArray[Any]
    first: NDArray[Any]
    threshold: NDArray[np.float32]
    values: NDArray[Any]
    depth: int


def _lay_out(tree: Tree, features: int) -> _Laid:
    """Number the nodes breadth first, and turn those around whose missing values go right."""
    if not np.isfinite(tree.values).all():
        raise ConversionError("a tree has a value that is not finite. Train it on finite targets")
    inner = tree.left >= 0
    lower = ordered_values(ordered_threshold(np.where(inner, tree.threshold, np.inf)))
    away = inner & ~(True if tree.missing_left is None else tree.missing_left.astype(bool))
    alone = away & (lower == np.inf)  # only what is missing goes right, not even infinity
    turned = away & ~alone
    threshold = np.where(turned, np.nextafter(-lower, np.float32(-np.inf)), np.where(alone, 0.5, lower))
    feature = np.where(inner, tree.feature, 0) + features * (1 * turned + 2 * alone)
    false, true = np.where(turned, (tree.right, tree.left), (tree.left, tree.right))
    order, depth, level = [0], 0, [0]
    while True:
        level = [child for node in level if inner[node] for child in (false[node], true[node])]
        if not level:
            break
        order += level
        depth += 1
    old = np.array(order)
    new = np.empty(len(tree.left), dtype=np.int64)
    new[old] = np.arange(len(old))
    first = np.where(inner[old], new[false[old]], np.arange(len(old)))
    return _Laid(feature[old], first, threshold[old].astype(np.float32), tree.values[old], depth)


def ordered_threshold(threshold: NDArray[Any]) -> NDArray[np.int32]:
    """The largest float32 not above each float64 threshold, as an integer that orders as it does."""
    exact = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    lower = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    bits = lower.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits).astype(np.int32)


def ordered_values(keys: NDArray[Any]) -> NDArray[np.float32]:
    """The float32 of each integer that orders as floats do."""
    bits = np.where(keys < 0, -(2**31) - keys, keys)
    return bits.astype(np.int32).view(np.float32)


def interleave(trees: Sequence[Tree], group_of: Sequence[int], groups: int) -> list[Tree]:
    """Trees in the order that `total` takes them: one of each group in turn."""
    by_group: list[list[Tree]] = [[] for _ in range(groups)]
    for tree, group in zip(trees, group_of, strict=True):
        by_group[group].append(tree)
    return [tree for turn in zip(*by_group, strict=True) for tree in turn]


def largest(total: Total) -> Tensor:
    """The index [n] of the first of the largest sums."""
    top = tf.reduce_max(total.whole, axis=1, keepdims=True)
    return tf.argmax(tf.cast(total.whole >= top, tf.float32), axis=1, output_type=tf.int32)


def probabilities(total: Total, factor: float = 1.0, zero_wins: bool = False) -> Tensor:
    """A sigmoid for one raw value a row, softmax for one a class; labels as the raw values decide."""
    if total.whole.shape[1] > 1:
        return agree(tf.nn.softmax(total.scores(factor)), largest(total))
    whole = tf.cast(total.whole, tf.float32) + (0.5 if zero_wins else 0.0)
    unit = max(total.unit * factor, 2.0**-149)  # what is not zero stays so
    return sigmoids(whole * constant([-unit, unit]))
