"""Train and load `power-demand`: days in, a CNN and the archive's own test days out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.series import read_ts
from models.splits import stratified_split
from models.trained import Encoding, Figures, Tell, Trained

MODEL_FILE = "model.keras"
TEST_FILE = "test.json"
CALIBRATION_FILE = "calibration.npy"

Day = tuple[tuple[float, ...], int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the archive's training days; accuracy is that of Keras on its test days."""
    tell("Reading the days", 0, 0)
    rest, test = _read(data["train"]), _read(data["test"])
    training, validation = stratified_split(rest, entry.split["validation"], entry.split["seed"])
    rows = _rows(training)
    fitted = family(entry.family).fit(entry.training, rows, _rows(validation), tell)
    fitted.source.save(folder / MODEL_FILE)
    np.save(folder / CALIBRATION_FILE, rows.inputs[: entry.training["calibration"]])
    (folder / TEST_FILE).write_text(json.dumps(test), "utf-8")
    trained = load(entry, folder)
    accuracy = float((trained.answer(trained.held_out).argmax(axis=1) == np.array(trained.labels)).mean())
    parts = {"training": len(training), "validation": len(validation), "test": len(test)}
    return Figures("accuracy", accuracy, len(test), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The model, the test days and the calibration rows, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    test = json.loads((folder / TEST_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda days: model.predict(np.array(days, "float32"), verbose=0),
        held_out=[list(day) for day, _ in test],
        labels=[label for _, label in test],
        encoding=Encoding("none", {}, {}),
        calibration={"values": np.load(folder / CALIBRATION_FILE)},
    )


def _read(path: Path) -> list[Day]:
    return [(tuple(value for (value,) in series), int(label) - 1) for series, label in read_ts(path)]


def _rows(days: list[Day]) -> Rows:
    return Rows(np.array([day for day, _ in days], "float32"), np.array([label for _, label in days]))
