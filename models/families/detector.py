"""One-stage detector (after CenterNet, Zhou et al. 2019): where things are on a picture, and what they are.

A CNN says of every cell of a grid how likely each class has its centre there, and the box around it.
What is served goes on to the answer within the graph: the peaks of that map, at most `most` of them.
Parameters: `size` (pixels a side), `scale`, `filters`, `classes`, `most`, `threshold` (of a score that
counts), and those of `fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.families.fitting import fit_keras
from models.families.kinds import Fitted, Rows
from models.trained import Tell

L, ops = keras.layers, keras.ops

STRIDE = 4  # pixels a cell
BOX = 4  # numbers: x and y of the centre within its cell, width and height in cells
SPREAD = 0.7  # of the bell around a centre, in cells
COLUMNS = 6  # of a find: x, y, width, height in pixels, score, class


def build_cells(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained map: float32 "picture" [n, size, size, 1] → [n, cells, cells, classes + BOX]."""
    picture = L.Input((parameters["size"], parameters["size"], 1), name="picture")
    hidden = L.Rescaling(parameters["scale"], name="scaled")(picture)
    steps = ((2, 1), (2, 1), (1, 1), (1, 2), (1, 2))  # stride and dilation: a cell sees 47 pixels around
    for number, (filters, (stride, dilation)) in enumerate(zip(parameters["filters"], steps, strict=True), 1):
        hidden = L.Conv2D(
            filters, 3, stride, "same", dilation_rate=dilation, use_bias=False, name=f"convolution_{number}"
        )(hidden)
        hidden = L.ReLU(name=f"relu_{number}")(L.BatchNormalization(name=f"normal_{number}")(hidden))
    rare = np.full(parameters["classes"] + BOX, -4.0)  # nearly every cell is empty
    rare[-BOX:] = 0
    cells = L.Conv2D(len(rare), 1, bias_initializer=keras.initializers.Constant(rare), name="cells")(hidden)
    return keras.Model(picture, cells, name="cells")


def with_finds(model: keras.Model, parameters: Mapping[str, Any]) -> keras.Model:
    """What is served: "picture" → "finds" [n, most, COLUMNS] in reading order, zeros behind the last."""
    classes, most = parameters["classes"], parameters["most"]
    cells = model.outputs[0]
    side = cells.shape[1]
    heat = ops.sigmoid(cells[..., :classes])
    best = ops.max(heat, axis=-1, keepdims=True)
    peak = ops.equal(best, ops.max_pool(best, 3, 1, padding="same"))
    counts = ops.logical_and(peak, ops.greater(best, parameters["threshold"]))
    score = best * ops.cast(counts, "float32")
    column, row = np.meshgrid(np.arange(side, dtype="float32"), np.arange(side, dtype="float32"))
    across, down, width, height = (cells[..., at : at + 1] for at in range(classes, classes + BOX))
    left = (across + column[None, :, :, None] - width / 2) * STRIDE
    top = (down + row[None, :, :, None] - height / 2) * STRIDE
    kind = ops.cast(ops.top_k(heat, 1)[1], "float32")  # Keras' argmax looks at bits, which has no builtin
    found = ops.concatenate([left, top, width * STRIDE, height * STRIDE, score, kind], axis=-1)
    flat = ops.reshape(found, (-1, side * side, COLUMNS))
    scores, places = ops.top_k(flat[..., 4], most)
    # In reading order, so that two of nearly one score do not change places with every rounding.
    order = ops.where(ops.greater(scores, 0.0), -ops.cast(places, "float32"), -float(side * side))
    _, ranks = ops.top_k(order, most)
    picked = ops.matmul(ops.one_hot(ranks, most), ops.matmul(ops.one_hot(places, side * side), flat))
    finds = picked * ops.cast(ops.greater(picked[..., 4:5], 0.0), "float32")
    return keras.Model(model.inputs, L.Identity(name="finds")(finds), name="detector")


def targets(
    boxes: list[list[tuple[float, float, float, float, int]]], side: int, classes: int
) -> NDArray[Any]:
    """What the map should say of boxes (x, y, width, height, class): [n, side, side, classes + BOX]."""
    wanted = np.zeros((len(boxes), side, side, classes + BOX), "float32")
    rows, columns = np.mgrid[:side, :side]
    for picture, inside in zip(wanted, boxes, strict=True):
        for x, y, width, height, kind in inside:
            across, down = (x + width / 2) / STRIDE, (y + height / 2) / STRIDE
            column, row = int(across), int(down)
            bell = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * SPREAD**2))
            picture[..., kind] = np.maximum(picture[..., kind], bell)
            picture[row, column, -BOX:] = across - column, down - row, width / STRIDE, height / STRIDE
    return wanted


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit the map on focal loss and box distance. Inputs are pictures, targets as `targets` makes them."""
    loss = partial(_loss, parameters["classes"])
    fitted = fit_keras(partial(build_cells, parameters), loss, parameters, train, validation, tell)
    return Fitted(with_finds(fitted.source, parameters), fitted.facts)


def _loss(classes: int, wanted: Any, given: Any) -> Any:
    """CenterNet's: focal loss of the centres, and a tenth of the boxes' distance there, by centres."""
    heat, logits = wanted[..., :classes], given[..., :classes]
    centre = ops.cast(ops.equal(heat, 1.0), "float32")
    probability = ops.sigmoid(logits)
    hit = centre * (1 - probability) ** 2 * ops.softplus(-logits)
    miss = (1 - centre) * (1 - heat) ** 4 * probability**2 * ops.softplus(logits)
    there = ops.max(centre, axis=-1, keepdims=True)
    away = ops.sum(there * ops.abs(wanted[..., classes:] - given[..., classes:]), axis=(1, 2, 3))
    lost = ops.sum(hit + miss, axis=(1, 2, 3)) + 0.1 * away
    return lost / ops.maximum(ops.sum(there, axis=(1, 2, 3)), 1.0)
