"""Decision trees as a graph: all trees of all rows reach exact leaves.

LiteRT copies an element as slowly as a row, and this is what a forest's time goes into. There are two ways:

- Down one level at a time. Nodes lie breadth first, siblings side by side, so that a step is
  `left + (value > threshold)`. A leaf leads to itself. All that a step needs of a node (feature, left
  child, threshold) is a row, fetched at once and turned.
- Shallow trees make all their tests at once, equal ones once for all trees. Tests lie along the first axis,
  so that what is copied is a whole batch's values; which leaf that leads to is arithmetic from below:
  of the two halves of a level, `first half + outcome * (second half - first half + leaves below)`.

Leaf values are summed as 64-bit integers in a unit of 2**-61 of the largest possible total. That is
finer than float64 and knows no order of adding. Where every leaf holds one class, the sum is a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.layout import Tree, complete, lay_out
from models.convert.scores import Tensor, agree, constant, sigmoids

SHALLOW = 3  # with a level more, a call of one row would take longer than going down
PRUNE = 0.75  # a level is run for fewer trees once so few are deep enough: slicing costs an op too


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
        laid_out = [lay_out(tree, features) for tree in trees]
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
        self._levels: list[NDArray[np.int64]] = []
        if 0 < self._depths[0] <= SHALLOW:
            levels, leaves = zip(*(complete(tree, self._depths[0]) for tree in laid_out), strict=True)
            # Places before trees, so that half a level is half of each tree.
            self._levels = [np.ravel(np.stack(level, axis=1) + starts) for level in zip(*levels, strict=True)]
            self._leaf_of = self._leaf_of[np.ravel(np.stack(leaves) + starts[:, None])]
        self.leaf_values = np.concatenate([tree.values for tree in laid_out])[is_leaf]
        self._tree_of_leaf = np.repeat(np.arange(len(trees)), [len(tree.first) for tree in laid_out])[is_leaf]

    def pick(self, values: NDArray[Any], rows: Tensor) -> Tensor:
        """The row of `values` [leaves, outputs] that each row's leaf in the only tree has: [n, outputs]."""
        return tf.gather(constant(values[self._leaf_of]), tf.reshape(self._ends(rows), [-1]))

    def leaves(self, rows: Tensor) -> Tensor:
        """The leaf [n, trees] that each float32 row reaches in each tree, as an index of `leaf_values`."""
        return tf.gather(constant(self._leaf_of, np.int32), self._ends(rows))

    def _ends(self, rows: Tensor) -> Tensor:
        """Where [n, trees] each float32 row ends in each tree, as an index of `_leaf_of`."""
        values = self._values(rows)
        return self._at_once(values) if self._levels else self._descend(values)

    def _at_once(self, values: Tensor) -> Tensor:
        nodes = self._nodes[[0, 2]][:, np.concatenate(self._levels)]
        (feature, bits), which = np.unique(nodes, axis=1, return_inverse=True)
        columns = tf.transpose(values)
        nothing = tf.cast(columns[:1] > columns[:1], tf.float32)  # [1, n]: to compare equal shapes is fastest
        threshold = nothing + constant(bits.view(np.float32)[:, None])
        true = tf.cast(tf.gather(columns, constant(feature, np.int32)) > threshold, tf.float32)
        ends = np.cumsum([len(level) for level in self._levels])
        *upper, lowest = np.split(which.ravel(), ends[:-1])
        at, below = tf.gather(true, constant(lowest, np.int32)), 2.0
        for level in reversed(upper):
            left, right = tf.split(at, 2)
            at = tf.gather(true, constant(level, np.int32)) * (right - left + below) + left
            below *= 2
        first = below * np.arange(len(self._depths))
        return tf.cast(tf.transpose(at + constant(first[:, None])), tf.int32)

    def _descend(self, values: Tensor) -> Tensor:
        # A lone tree's rows are [n] and not [n, 1]: LiteRT turns [n, 1, 3] twenty times as slowly as [n, 3].
        width = len(self._roots)
        roots = self._roots if width > 1 else self._roots[0]
        feature, first = (constant(part, np.int32) for part in self._nodes[:2, roots])
        threshold = constant(self._nodes[2, roots].view(np.float32))
        at = first + tf.cast(tf.gather(values, feature, axis=1) > threshold, tf.int32)
        nodes, done = constant(self._nodes.T, np.int32), []
        for level in range(1, int(self._depths[0])):
            deep = int((self._depths > level).sum())
            if deep < PRUNE * width:
                at, ended = tf.split(at, [deep, width - deep], axis=1)
                done.append(ended)
                width = deep
            turned = [len(at.shape), *range(len(at.shape))]
            feature, first, bits = tf.unstack(tf.transpose(tf.gather(nodes, at), turned), axis=0)
            above = tf.gather(values, feature, batch_dims=1) > tf.bitcast(bits, tf.float32)
            at = first + tf.cast(above, tf.int32)
        if done:
            at = tf.concat([at, *reversed(done)], axis=1)
        return tf.reshape(at, [-1, len(self._roots)])

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
