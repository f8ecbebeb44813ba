"""CNN over images or series: convolutions with pooling, then Dense layers, then a softmax.

Parameters: `shape` of a row (height, width, channels or steps, channels), `scale` (what inputs are
multiplied with in the graph, such as 1/255), `filters` (a convolution of `kernel` each), `pool` (after
every convolution; 1 for none), `dense` (units of the layer before the last), `dropout`, `classes`, `augment`
(images only: largest shift as a share of the size and turn as a share of a full one, in training; 0 for
none), and those of `fitting`.
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
    """The untrained model: float32 "values" [n, *shape] → float32 "scores" [n, classes].

    A series of one channel comes without it: [n, steps].
    """
    shape = tuple(parameters["shape"])
    flat = len(shape) == 2
    convolution, pooling = (L.Conv1D, L.MaxPooling1D) if flat else (L.Conv2D, L.MaxPooling2D)
    values = L.Input(shape[:1] if flat and shape[1] == 1 else shape, name="values")
    hidden = L.Reshape(shape, name="shaped")(L.Rescaling(parameters["scale"], name="scaled")(values))
    if parameters["augment"]:
        hidden = L.RandomTranslation(parameters["augment"], parameters["augment"], "constant")(hidden)
        hidden = L.RandomRotation(parameters["augment"] / 4, "constant")(hidden)
    for number, filters in enumerate(parameters["filters"], 1):
        name = f"convolution_{number}"
        hidden = convolution(filters, parameters["kernel"], padding="same", use_bias=False, name=name)(hidden)
        hidden = L.BatchNormalization(name=f"normal_{number}")(hidden)
        hidden = L.ReLU(name=f"relu_{number}")(hidden)
        if parameters["pool"] > 1:
            hidden = pooling(parameters["pool"], name=f"pool_{number}")(hidden)
    hidden = L.Flatten(name="flat")(hidden)
    hidden = L.Dropout(parameters["dropout"], name="dropout")(hidden)
    hidden = L.Dense(parameters["dense"], activation="relu", name="dense")(hidden)
    scores = L.Dense(parameters["classes"], activation="softmax", name="scores")(hidden)
    return keras.Model(values, scores, name="cnn")


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on cross-entropy. Inputs are float32 [n, *shape], targets class numbers [n]."""
    loss = "sparse_categorical_crossentropy"
    return fit_keras(partial(build, parameters), loss, parameters, train, validation, tell)
