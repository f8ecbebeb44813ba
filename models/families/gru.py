"""GRU over series of any length: normalised steps → (bidirectional) GRU → Dense(softmax).

Parameters: `features` (numbers a step), `units`, `bidirectional`, `dropout`, `classes`, and those of
`fitting`. A step of zeros alone is padding and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from models.families.fitting import fit_keras
from models.families.kinds import Fitted, Rows
from models.trained import Tell

L = keras.layers


def build(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained model: float32 "steps" [n, any, features] → float32 "scores" [n, classes]."""
    steps = L.Input((None, parameters["features"]), name="steps")
    hidden = L.Masking(0.0, name="padding")(steps)
    gru = L.GRU(parameters["units"], name="gru")
    hidden = L.Bidirectional(gru, name="both_ways")(hidden) if parameters["bidirectional"] else gru(hidden)
    hidden = L.Dropout(parameters["dropout"], name="dropout")(hidden)
    scores = L.Dense(parameters["classes"], activation="softmax", name="scores")(hidden)
    return keras.Model(steps, scores, name="gru_classifier")


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on cross-entropy. Inputs are float32 [n, steps, features] with zeros behind, targets [n]."""
    loss = "sparse_categorical_crossentropy"
    return fit_keras(partial(build, parameters), loss, parameters, train, validation, tell)
