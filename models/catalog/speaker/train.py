"""Train and load `speaker`: utterances of any length in, a GRU and the archive's own test utterances out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.series import Series, read_ts
from models.splits import stratified_split
from models.trained import Encoding, Figures, Tell, Trained

MODEL_FILE = "model.keras"
TEST_FILE = "test.json"


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the archive's training utterances; accuracy is that of Keras on its test utterances."""
    tell("Reading the utterances", 0, 0)
    utterances, test = read_ts(data["train"]), read_ts(data["test"])
    numbered = [(number, label) for number, (_, label) in enumerate(utterances)]
    training, validation = (
        [utterances[number] for number, _ in part]
        for part in stratified_split(numbered, entry.split["validation"], entry.split["seed"])
    )
    fitted = family(entry.family).fit(entry.training, _rows(training), _rows(validation), tell)
    fitted.source.save(folder / MODEL_FILE)
    (folder / TEST_FILE).write_text(json.dumps(test), "utf-8")
    trained = load(entry, folder)
    accuracy = float((trained.answer(trained.held_out).argmax(axis=1) == np.array(trained.labels)).mean())
    parts = {"training": len(training), "validation": len(validation), "test": len(test)}
    return Figures("accuracy", accuracy, len(test), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The model and the test utterances, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    test = json.loads((folder / TEST_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda utterances: model.predict(_padded(utterances), verbose=0),
        held_out=[series for series, _ in test],
        labels=[int(label) - 1 for _, label in test],
        encoding=Encoding("none", {}, {}),
    )


def _padded(utterances: Sequence[Series]) -> NDArray[Any]:
    """float32 [n, longest, 12], zeros behind, which the model masks."""
    longest = max(map(len, utterances))
    padded = np.zeros((len(utterances), longest, len(utterances[0][0])), "float32")
    for row, utterance in zip(padded, utterances, strict=True):
        row[: len(utterance)] = utterance
    return padded


def _rows(part: list[tuple[Series, str]]) -> Rows:
    return Rows(_padded([series for series, _ in part]), np.array([int(label) - 1 for _, label in part]))
