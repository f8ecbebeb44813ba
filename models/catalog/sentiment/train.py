"""Train and load `sentiment`: reviews in, a Keras LSTM and its held-out reviews out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.text import KerasText
from models.splits import distinct, stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.keras"
HELD_OUT_FILE = "held_out.json"
BATCH = 512

Review = tuple[str, int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the training part; accuracy is that of Keras on the held-out part."""
    tell("Reading and splitting the reviews", 0, 0)
    reviews = distinct(_read(data["reviews"]))
    seed = entry.split["seed"]
    rest, held_out = stratified_split(reviews, entry.split["held_out"], seed)
    training, validation = stratified_split(rest, entry.split["validation"], seed)

    tell("Counting words", 0, 0)
    text = KerasText.fit([review for review, _ in rest], entry.encoding)
    fitted = family(entry.family).fit(entry.training, _rows(text, training), _rows(text, validation), tell)

    fitted.source.save(folder / MODEL_FILE)
    text.save(folder)
    (folder / HELD_OUT_FILE).write_text(json.dumps(held_out), "utf-8")
    trained = load(entry, folder)
    guessed = trained.answer(trained.held_out)[:, 0] > 0.5
    accuracy = float((guessed == np.array(trained.labels)).mean())
    parts = {"training": len(training), "validation": len(validation), "held_out": len(held_out)}
    return Figures("accuracy", accuracy, len(held_out), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The model, its tokenizer and its held-out reviews, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    text = KerasText.load(folder, entry.encoding)
    held_out = json.loads((folder / HELD_OUT_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda rows: model.predict(text.encode(rows), batch_size=BATCH, verbose=0),
        held_out=[review for review, _ in held_out],
        labels=[label for _, label in held_out],
        encoding=text.describe(),
    )


def _read(path: Path) -> list[Review]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [(row["text"], int(row["label"])) for row in rows if row["source"] == "imdb"]


def _rows(text: KerasText, reviews: list[Review]) -> Rows:
    return Rows(text.encode([review for review, _ in reviews]), np.array([label for _, label in reviews]))
