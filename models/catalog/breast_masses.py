"""Train and load a classifier of scikit-learn's breast-cancer data, whatever its family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, recall_score

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.columns import describe, encode
from models.splits import stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.joblib"
MALIGNANT = 0

Labelled = tuple[tuple[float, ...], int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the training part; accuracy is scikit-learn's on the held-out part."""
    rest, held_out = _split(entry)
    rows = Rows(np.array([row for row, _ in rest]), np.array([label for _, label in rest]))
    fitted = family(entry.family).fit(entry.training, rows, Rows([], []), tell)
    joblib.dump(fitted.source, folder / MODEL_FILE)
    truth = np.array([label for _, label in held_out])
    guessed = fitted.source.predict(np.array([row for row, _ in held_out]))
    facts = {
        **fitted.facts,
        "split": {"training": len(rest), "held_out": len(held_out)},
        "malignant_found": float(recall_score(truth, guessed, pos_label=MALIGNANT)),
    }
    return Figures("accuracy", float(accuracy_score(truth, guessed)), len(held_out), facts)


def load(entry: Entry, folder: Path) -> Trained:
    """The model and the held-out rows: every second one as an object by column name."""
    model = joblib.load(folder / MODEL_FILE)
    names = [str(name) for name in load_breast_cancer().feature_names]
    _, held_out = _split(entry)
    values = [
        list(row) if number % 2 else dict(zip(names, row, strict=True))
        for number, (row, _) in enumerate(held_out)
    ]
    return Trained(
        source=model,
        answer=lambda values: model.predict_proba(encode(values, names)),
        held_out=values,
        labels=[label for _, label in held_out],
        encoding=describe(names),
    )


def _split(entry: Entry) -> tuple[list[Labelled], list[Labelled]]:
    bundled = load_breast_cancer()
    pairs = zip(bundled.data.tolist(), bundled.target.tolist(), strict=True)
    rows = [(tuple(row), label) for row, label in pairs]
    return stratified_split(rows, entry.split["held_out"], entry.split["seed"])
