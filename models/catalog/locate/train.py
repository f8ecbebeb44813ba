"""Train and load `locate`: digits laid on canvases by lot in, a detector and its held-out canvases out."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.catalog.digits.train import read_digits
from models.catalog.entries import Entry
from models.families.detector import STRIDE, targets
from models.families.kinds import Rows, family
from models.parity import overlap
from models.preprocess.image import GreyImages
from models.splits import distinct, stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.keras"
HELD_OUT_FILE = "held_out.json"
SIDE = 28
TRIES = 50

Digit = tuple[tuple[int, ...], int]
Box = tuple[float, float, float, float, int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on canvases of training digits; F1 counts finds with the right name and half of the place."""
    tell("Laying digits on canvases", 0, 0)
    split, size = entry.split, entry.training["size"]
    rest, held_out = stratified_split(distinct(read_digits(data["images"])), split["held_out"], split["seed"])
    training, validation = stratified_split(rest, split["validation"], split["seed"])
    chance = random.Random(split["seed"])  # noqa: S311 - a split is no secret
    parts = {"training": training, "validation": validation, "held_out": held_out}
    canvases = {
        name: [_canvas(chance, part, size, split["digits"]) for _ in range(split["canvases"][name])]
        for name, part in parts.items()
    }
    rows = [_rows(entry, canvases[name]) for name in ("training", "validation")]
    fitted = family(entry.family).fit(entry.training, rows[0], rows[1], tell)

    fitted.source.save(folder / MODEL_FILE)
    proof = [(canvas.ravel().tolist(), boxes) for canvas, boxes in canvases["held_out"]]
    (folder / HELD_OUT_FILE).write_text(json.dumps(proof), "utf-8")
    trained = load(entry, folder)
    value = f1(trained.answer(trained.held_out), [boxes for _, boxes in proof])
    return Figures(
        "F1 at half overlap", value, len(proof), {**fitted.facts, "canvases": dict(split["canvases"])}
    )


def load(entry: Entry, folder: Path) -> Trained:
    """The model and its held-out canvases, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    images = GreyImages(entry.encoding)
    proof = json.loads((folder / HELD_OUT_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda values: model.predict(images.encode(values), verbose=0),
        held_out=[pixels for pixels, _ in proof],
        labels=[],
        encoding=images.describe(),
    )


def f1(finds: NDArray[Any], truth: Sequence[Sequence[Box]]) -> float:
    """2 hits / (finds + digits); a digit is hit once, by a find of its name that overlaps it by half."""
    hits = given = 0
    for found, boxes in zip(finds, truth, strict=True):
        left = list(boxes)
        for find in found[found[:, 4] > 0]:
            given += 1
            hit = next((box for box in left if box[4] == find[5] and overlap(find, box) >= 0.5), None)
            if hit is not None:
                left.remove(hit)
                hits += 1
    return 2 * hits / (given + sum(map(len, truth)))


def _canvas(
    chance: random.Random, digits: list[Digit], size: int, most: int
) -> tuple[NDArray[Any], list[Box]]:
    """Some digits, each cut to its ink, where they do not touch."""
    canvas = np.zeros((size, size), "int32")
    boxes: list[Box] = []
    for _ in range(chance.randrange(most + 1)):
        pixels, label = chance.choice(digits)
        image = np.array(pixels).reshape(SIDE, SIDE)
        down, across = np.nonzero(image.any(axis=1))[0], np.nonzero(image.any(axis=0))[0]
        ink = image[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        height, width = ink.shape
        for _ in range(TRIES):
            x, y = chance.randrange(size - width + 1), chance.randrange(size - height + 1)
            around = canvas[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1]
            if not around.any():
                canvas[y : y + height, x : x + width] = ink
                boxes.append((x, y, width, height, label))
                break
    return canvas, boxes


def _rows(entry: Entry, canvases: list[tuple[NDArray[Any], list[Box]]]) -> Rows:
    pictures = np.array([canvas for canvas, _ in canvases], "float32")[..., None]
    side = entry.training["size"] // STRIDE
    return Rows(pictures, targets([boxes for _, boxes in canvases], side, entry.training["classes"]))
