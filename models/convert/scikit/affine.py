"""Scalers: features moved and stretched one by one, kept in float64 until a step that can absorb them.

A linear model absorbs one into its weights, a forest into its thresholds, so that scaling costs
nothing and rounds nothing. Any other step gets it as two ops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.convert.scores import Tensor, constant

Step = tuple[Callable[..., Any], NDArray[np.float64]]


class Affine(NamedTuple):
    """Float64 steps, each a numpy function and its operand by feature, in scikit-learn's own order."""

    steps: tuple[Step, ...]

    def then(self, other: Affine) -> Affine:
        """Both scalings, the other one second."""
        return Affine(self.steps + other.steps)

    def exact(self, values: NDArray[np.float64], feature: Any = slice(None)) -> NDArray[np.float64]:
        """What scikit-learn computes, in float64."""
        for function, operand in self.steps:
            values = function(values, operand[feature])
        return values

    def line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(point, factor) by feature: what is scaled is (value - point) * factor."""
        point, factor = np.zeros_like(self.steps[0][1]), np.ones_like(self.steps[0][1])
        for function, operand in self.steps:
            if function is np.subtract:
                point = point + operand / factor
            elif function is np.add:
                point = point - operand / factor
            else:
                factor = function(factor, operand)
        return point, factor

    def apply(self, rows: Tensor) -> Tensor:
        """Scale float32 rows in the graph."""
        point, factor = self.line()
        return (rows - constant(point)) * constant(factor)


def standard(scaler: Any) -> Affine:
    """StandardScaler."""
    steps: list[Step] = [(np.subtract, scaler.mean_)] if scaler.with_mean else []
    steps += [(np.divide, scaler.scale_)] if scaler.with_std else []
    return _affine(scaler, steps)


def robust(scaler: Any) -> Affine:
    """RobustScaler."""
    steps: list[Step] = [(np.subtract, scaler.center_)] if scaler.with_centering else []
    steps += [(np.divide, scaler.scale_)] if scaler.with_scaling else []
    return _affine(scaler, steps)


def min_max(scaler: Any) -> Affine:
    """MinMaxScaler that does not clip."""
    return _affine(scaler, [(np.multiply, scaler.scale_), (np.add, scaler.min_)])


def max_abs(scaler: Any) -> Affine:
    """MaxAbsScaler."""
    return _affine(scaler, [(np.divide, scaler.scale_)])


def _affine(scaler: Any, steps: list[Step]) -> Affine:
    return Affine(tuple(steps) or ((np.divide, np.ones(scaler.n_features_in_)),))
