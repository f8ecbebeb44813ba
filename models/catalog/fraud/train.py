"""Train and load `fraud`: payments in, a random forest and the last fifth of the payments out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from models.catalog.entries import Entry
from models.families.kinds import Rows, family
from models.preprocess.columns import describe, encode
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.joblib"
HELD_OUT_FILE = "held_out.npz"
ALARMS = 441  # of the reference, at which it found 66 of 75
UNUSED = ("Time", "Class")  # seconds since the first payment say nothing of a later one


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the first payments; the metric is the share of frauds found among the last at ALARMS."""
    tell("Reading the payments", 0, 0)
    names, rows, labels = _read(data["payments"])
    first = round(len(rows) * (1 - entry.split["held_out"]))
    kept = _thinned(labels[:first], entry.split["genuine"], entry.split["seed"])
    fitted = family(entry.family).fit(entry.training, Rows(rows[kept], labels[kept]), Rows([], []), tell)
    joblib.dump(fitted.source, folder / MODEL_FILE)
    np.savez(folder / HELD_OUT_FILE, names=names, rows=rows[first:], labels=labels[first:])
    shares, truth = fitted.source.predict_proba(rows[first:]), labels[first:]
    alarm = shares.argmax(axis=1) == 1
    found = int((alarm & (truth == 1)).sum())
    ranked, limit = _found_at(shares[:, 1], truth, ALARMS)
    facts = {
        **fitted.facts,
        "found": found,
        "missed": int(truth.sum()) - found,
        "false_alarms": int((alarm & (truth == 0)).sum()),
        "found_at_reference": ranked,
        "missed_at_reference": int(truth.sum()) - ranked,
        "probability_at_reference": limit,
        "average_precision": float(average_precision_score(truth, shares[:, 1])),
        "split": {"before": first, "training": len(kept), "held_out": len(rows) - first},
    }
    name = f"frauds found at {ALARMS} false alarms"
    return Figures(name, ranked / int(truth.sum()), len(truth), facts)


def load(entry: Entry, folder: Path) -> Trained:
    """The forest and the payments held out, as `train` left them."""
    model = joblib.load(folder / MODEL_FILE)
    with np.load(folder / HELD_OUT_FILE) as saved:
        names, rows, labels = saved["names"].tolist(), saved["rows"], saved["labels"]
    return Trained(
        source=model,
        answer=lambda values: model.predict_proba(encode(values, names)),
        held_out=rows.tolist(),
        labels=labels.tolist(),
        encoding=describe(names),
    )


def _thinned(labels: NDArray[np.int64], genuine: float, seed: int) -> NDArray[np.int64]:
    """The numbers of the rows to learn from: all frauds, and a share of the genuine payments."""
    drawn = np.random.default_rng(seed).random(len(labels)) < genuine
    return np.flatnonzero((labels == 1) | drawn)


def _found_at(shares: NDArray[np.float64], truth: NDArray[np.int64], alarms: int) -> tuple[int, float]:
    """How many frauds rank above the genuine payment that would be one alarm too many, and where that is."""
    limit = float(np.sort(shares[truth == 0])[-alarms - 1])
    return int((shares[truth == 1] > limit).sum()), limit


def _read(path: Path) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    with path.open(encoding="ascii", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        table = np.array([[float(value) for value in line] for line in lines])
    used = [number for number, name in enumerate(header) if name not in UNUSED]
    return [header[number] for number in used], table[:, used], table[:, header.index("Class")].astype(int)
