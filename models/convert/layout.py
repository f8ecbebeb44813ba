"""Decision trees as arrays: what a source's tree is, and how its nodes lie for the graph.

A threshold is the largest float32 that is not above the source's float64 one, hence for every float32
value the comparison comes out as the source's. A comparison with NaN is false: where what is missing goes
right, the node is turned around, `-value > the float below -threshold` leads left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.convert.tflite import ConversionError


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


class Laid(NamedTuple):
    """Nodes breadth first. A false comparison leads to `first`, a true one to the node behind it."""

    feature: NDArray[Any]
    first: NDArray[Any]
    threshold: NDArray[np.float32]
    values: NDArray[Any]
    depth: int


def lay_out(tree: Tree, features: int) -> Laid:
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
    return Laid(feature[old], first, threshold[old].astype(np.float32), tree.values[old], depth)


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


def complete(tree: Laid, depth: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """A tree as if all its leaves were `depth` down: the nodes of each level, and the leaves.

    A level has first those that a false comparison led to, in their parents' order, then those that a true
    one did. Leaves come in the order of what led to them, the root's outcome counting most.
    """
    here, levels = np.zeros(1, np.int64), []
    for _ in range(depth):
        levels.append(here)
        first = tree.first[here]
        here = np.concatenate([first, np.where(first == here, here, first + 1)])
    return levels, here.reshape([2] * depth).T.ravel()
