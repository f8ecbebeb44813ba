"""Train and load `digits`: images in, a CNN and its held-out images, some of them as PNGs, out."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.image import GreyImages
from models.splits import distinct, stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.keras"
HELD_OUT_FILE = "held_out.json"
CALIBRATION_FILE = "calibration.npy"

Labelled = tuple[tuple[int, ...], int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the training part; accuracy is that of Keras on the held-out part."""
    tell("Reading and splitting the images", 0, 0)
    images, seed = GreyImages(entry.encoding), entry.split["seed"]
    rest, held_out = stratified_split(distinct(read_digits(data["images"])), entry.split["held_out"], seed)
    training, validation = stratified_split(rest, entry.split["validation"], seed)
    rows = _rows(images, training)
    fitted = family(entry.family).fit(entry.training, rows, _rows(images, validation), tell)

    fitted.source.save(folder / MODEL_FILE)
    np.save(folder / CALIBRATION_FILE, rows.inputs[: entry.training["calibration"]])
    values: list[Any] = [list(pixels) for pixels, _ in held_out]
    quarter = len(values) // 4  # as PNGs, so that the proof reads both forms
    values[-quarter:] = [images.as_png(pixels) for pixels in values[-quarter:]]
    labels = [label for _, label in held_out]
    (folder / HELD_OUT_FILE).write_text(json.dumps({"values": values, "labels": labels}), "utf-8")
    trained = load(entry, folder)
    accuracy = float((trained.answer(values).argmax(axis=1) == np.array(labels)).mean())
    parts = {"training": len(training), "validation": len(validation), "held_out": len(held_out)}
    return Figures("accuracy", accuracy, len(held_out), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The model, its held-out images and its calibration rows, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    images = GreyImages(entry.encoding)
    held_out = json.loads((folder / HELD_OUT_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda values: model.predict(images.encode(values), verbose=0),
        held_out=held_out["values"],
        labels=held_out["labels"],
        encoding=images.describe(),
        calibration={"values": np.load(folder / CALIBRATION_FILE)},
    )


def read_digits(path: Path) -> list[Labelled]:
    """Pixels and label of each image."""
    with gzip.open(path, "rt", encoding="ascii", newline="") as file:
        rows = [[int(float(value)) for value in row] for row in csv.reader(file)]
    return [(tuple(pixels), label) for *pixels, label in rows]


def _rows(images: GreyImages, part: list[Labelled]) -> Rows:
    return Rows(images.encode([list(p) for p, _ in part]), np.array([label for _, label in part]))
