"""How a graph states its answer: scores whose first largest is the label that the source gives.

Serving names the class of the largest score. What a source decides by something finer than a float32
score (a float64 sum, a vote, the sign of a margin) is carried over by `agree`, so that no label is
lost to rounding. All functions here make TensorFlow ops of builtins only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
Outputs = dict[str, Tensor]
"""Outputs by name. Signatures list them by it, so a classifier's `scores` or `decision` has to come first."""

SCORES = "scores"  # probabilities
DECISION = "decision"  # margins: larger is likelier, and no probability
VALUES = "values"


def agree(scores: Tensor, label: Tensor) -> Tensor:
    """Let `label` [n] have the largest of `scores` [n, classes], which change by one last bit at the most.

    That holds where label and scores tell the same story up to rounding; where they don't (votes
    against margins), the label's score is raised to the largest.
    """
    wins = tf.one_hot(label, scores.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    largest = tf.reduce_max(scores, axis=-1, keepdims=True)
    just_below = largest - tf.maximum(tf.abs(largest) * np.float32(2**-23), np.float32(1e-37))
    return tf.where(wins, largest, tf.minimum(scores, just_below))


def two_sided(positive: Tensor) -> Tensor:
    """A binary probability [n] as [n, 2]."""
    return tf.stack([1.0 - positive, positive], axis=1)


def sigmoids(both: Tensor) -> Tensor:
    """Binary probabilities [n, 2] of margins [n, 2], each the other negated: the larger one has the larger.

    Float32 sigmoids of margins below 2**-25 are all 0.5. So a margin moves away from zero by 2**-21, which
    no score above its last bits shows; only the smallest denormals move less, and yet far enough.
    """
    step = np.float32(2**-21)
    return tf.sigmoid(both + tf.clip_by_value(both * np.float32(2.0**127), -step, step))


def margins(decision: Tensor) -> Tensor:
    """A binary margin [n] as [n, 2], whose second is the larger where the margin is above zero."""
    return tf.stack([-decision, decision], axis=1)


def first_largest(scores: Tensor) -> Tensor:
    """The index [n] of the first of the largest."""
    return tf.argmax(scores, axis=-1, output_type=tf.int32)


def constant(values: Any, dtype: Any = np.float32) -> Tensor:
    """A constant, rounded from float64 once."""
    return tf.constant(np.asarray(values, dtype=dtype, order="C"))
