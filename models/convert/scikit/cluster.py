"""KMeans and its mini-batch form: the nearest centre."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from models.convert.scikit.affine import Affine
from models.convert.scikit.svm import squared_distances
from models.convert.scores import DECISION, Outputs, Tensor


def clusters(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """Distances to the centres with their sign turned: the largest is the row's cluster."""
    measure = squared_distances(model.cluster_centers_, before)
    return lambda rows: {DECISION: -tf.sqrt(measure(rows))}
