"""Train and load `sentiment-svm`: reviews in, a linear SVM on TF-IDF and its held-out reviews out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.tfidf import describe
from models.splits import distinct, stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.joblib"
HELD_OUT_FILE = "held_out.json"


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the training part; accuracy is scikit-learn's on the held-out part."""
    tell("Reading and splitting the reviews", 0, 0)
    with data["reviews"].open(encoding="utf-8", newline="") as file:
        read = [(row["text"], int(row["label"])) for row in csv.DictReader(file) if row["source"] == "imdb"]
    rest, held_out = stratified_split(distinct(read), entry.split["held_out"], entry.split["seed"])
    texts, targets = zip(*rest, strict=True)
    fitted = family(entry.family).fit(entry.training, Rows(texts, np.array(targets)), Rows([], []), tell)
    joblib.dump(fitted.source, folder / MODEL_FILE)
    (folder / HELD_OUT_FILE).write_text(json.dumps(held_out), "utf-8")
    trained = load(entry, folder)
    guessed = trained.answer(trained.held_out).argmax(axis=1)
    accuracy = float((guessed == np.array(trained.labels)).mean())
    parts = {"training": len(rest), "held_out": len(held_out)}
    return Figures("accuracy", accuracy, len(held_out), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The Pipeline and its held-out reviews, as `train` left them."""
    model = joblib.load(folder / MODEL_FILE)
    held_out = json.loads((folder / HELD_OUT_FILE).read_text("utf-8"))

    def answer(texts: Sequence[Any]) -> NDArray[Any]:
        margin = model.decision_function(texts)
        return np.stack([-margin, margin], axis=1)

    return Trained(
        source=model,
        answer=answer,
        held_out=[text for text, _ in held_out],
        labels=[label for _, label in held_out],
        encoding=describe(model[0], entry.encoding["max_characters"]),
    )
