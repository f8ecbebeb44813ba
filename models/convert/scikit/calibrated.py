"""CalibratedClassifierCV: what its classifiers say, put through their calibrators, and the mean of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.convert.scikit import kinds
from models.convert.scikit.affine import Affine
from models.convert.scores import SCORES, Outputs, Tensor, constant, two_sided
from models.convert.tflite import ConversionError

Map = Callable[[Tensor], Tensor]


def classifier(model: Any, before: Affine | None) -> Callable[[Tensor], Outputs]:
    """Scores are the mean probabilities [n, classes]."""
    parts = [_part(part, before) for part in model.calibrated_classifiers_]

    def predict(rows: Tensor) -> Outputs:
        answers = [part(rows) for part in parts]
        return {SCORES: answers[0] if len(answers) == 1 else tf.add_n(answers) / len(answers)}

    return predict


def _part(part: Any, before: Affine | None) -> Map:
    respond, classes = kinds.response(part.estimator, before), len(part.classes)
    if len(part.estimator.classes_) != classes:
        raise ConversionError(
            "a calibrated classifier has not seen every class: use folds that hold them all"
        )
    if part.method == "temperature":
        beta = float(part.calibrators[0].beta_)
        return lambda rows: tf.nn.softmax(beta * _logits(respond(rows)))
    calibrate = [_CALIBRATORS[part.method](calibrator) for calibrator in part.calibrators]

    def probabilities(rows: Tensor) -> Tensor:
        said = respond(rows)
        if classes == 2:
            return two_sided(calibrate[0](said if len(said.shape) == 1 else said[:, 1]))
        shares = tf.stack([one(said[:, number]) for number, one in enumerate(calibrate)], axis=1)
        whole = tf.reduce_sum(shares, axis=1, keepdims=True)
        return tf.where(whole > 0, shares / tf.maximum(whole, np.float32(1e-38)), np.float32(1 / classes))

    return probabilities


def _sigmoid(calibrator: Any) -> Map:
    """Platt's: 1 / (1 + exp(a·said + b))."""
    slope, offset = np.float32(-calibrator.a_), np.float32(-calibrator.b_)
    return lambda said: tf.sigmoid(said * slope + offset)


def _isotonic(calibrator: Any) -> Map:
    """Between the steps in a straight line, beyond them as the outermost."""
    at, levels = constant(calibrator.X_thresholds_), constant(calibrator.y_thresholds_)
    last = len(calibrator.X_thresholds_) - 1
    if last == 0:
        return lambda said: tf.zeros_like(said) + levels[0]

    def interpolate(said: Tensor) -> Tensor:
        said = tf.clip_by_value(said, at[0], at[last])
        passed = tf.cast(tf.expand_dims(said, 1) >= tf.expand_dims(at, 0), tf.int32)
        left = tf.minimum(tf.reduce_sum(passed, axis=1) - 1, last - 1)
        below, above = tf.gather(at, left), tf.gather(at, left + 1)
        part = (said - below) / tf.maximum(above - below, np.float32(1e-38))
        return tf.gather(levels, left) * (1 - part) + tf.gather(levels, left + 1) * part

    return interpolate


def _logits(said: Tensor) -> Tensor:
    return tf.stack([-said, said], axis=1) if len(said.shape) == 1 else said


_CALIBRATORS: dict[str, Callable[[Any], Map]] = {"sigmoid": _sigmoid, "isotonic": _isotonic}
