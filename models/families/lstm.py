"""LSTM over token ids: Embedding → LSTM → Dense(sigmoid), the classic Keras text classifier.

Parameters: `vocabulary` (ids are below it), `length` (ids a row), `embedding`, `units`, and those
of `fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from models.families.fitting import fit_keras
from models.families.kinds import Fitted, Rows
from models.trained import Tell


def build(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained model: int32 "tokens" [n, length] → float32 "score" [n, 1]."""
    return keras.Sequential(
        [
            keras.layers.Input((parameters["length"],), dtype="int32", name="tokens"),
            keras.layers.Embedding(parameters["vocabulary"], parameters["embedding"], name="embedding"),
            keras.layers.LSTM(parameters["units"], name="lstm"),
            keras.layers.Dense(1, activation="sigmoid", name="score"),
        ],
        name="lstm_classifier",
    )


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on binary cross-entropy. Inputs are int arrays [n, length], targets 0 or 1."""
    return fit_keras(partial(build, parameters), "binary_crossentropy", parameters, train, validation, tell)
