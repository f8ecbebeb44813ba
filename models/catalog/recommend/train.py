"""Train and load `recommend`: ratings in, a matrix factorisation and every user's best films out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.catalog.entries import Entry
from models.families.factorization import Factors, Recommender, rmse
from models.families.kinds import Rows, family
from models.splits import stratified_split
from models.trained import Encoding, Figures, Tell, Trained

MODEL_FILE = "model.npz"
UNKNOWN = [0, 944, 2_000_000_000, -1]  # ids that no user has

Rating = tuple[tuple[int, int], int]


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit on the training ratings; the metric is the error of the ratings held out, in stars."""
    tell("Reading and splitting the ratings", 0, 0)
    ratings = _read(data["ratings"])
    user_ids, item_ids = (np.unique([pair[side] for pair, _ in ratings]) for side in (0, 1))
    seed = entry.split["seed"]
    rest, held_out = stratified_split(ratings, entry.split["held_out"], seed)
    training, validation = stratified_split(rest, entry.split["validation"], seed)
    rows = [_rows(part, user_ids, item_ids) for part in (training, validation, held_out)]
    fitted = family(entry.family).fit(entry.training, rows[0], rows[1], tell)
    model: Factors = fitted.source
    everything = _rows(ratings, user_ids, item_ids).inputs
    np.savez(
        folder / MODEL_FILE,
        mean=model.mean,
        users=model.users,
        items=model.items,
        user_ids=user_ids,
        item_ids=item_ids,
        seen=everything[np.lexsort(everything.T[::-1])],
    )
    parts = {"training": len(training), "validation": len(validation), "held_out": len(held_out)}
    return Figures("rmse", rmse(model, rows[2]), len(held_out), {**fitted.facts, "split": parts})


def load(entry: Entry, folder: Path) -> Trained:
    """The recommender, and every user's id with some that nobody has."""
    with np.load(folder / MODEL_FILE) as saved:
        seen = saved["seen"]
        model = Recommender(
            factors=Factors(float(saved["mean"]), saved["users"], saved["items"]),
            user_ids=saved["user_ids"],
            item_ids=saved["item_ids"],
            seen=[seen[seen[:, 0] == number, 1] for number in range(len(saved["user_ids"]))],
            best=entry.training["best"],
        )
    return Trained(
        source=model,
        answer=model.recommend,
        held_out=[*model.user_ids.tolist(), *UNKNOWN],
        labels=[],
        encoding=Encoding("none", {}, {}),
    )


def _read(path: Path) -> list[Rating]:
    with path.open(encoding="ascii", newline="") as file:
        lines = csv.reader(file, delimiter="\t")
        next(lines)
        return [((int(user), int(item)), int(rating)) for user, item, rating, _ in lines]


def _rows(ratings: list[Rating], user_ids: NDArray[np.int64], item_ids: NDArray[np.int64]) -> Rows:
    pairs = np.array([pair for pair, _ in ratings])
    numbers = [np.searchsorted(user_ids, pairs[:, 0]), np.searchsorted(item_ids, pairs[:, 1])]
    return Rows(np.stack(numbers, axis=1), np.array([float(rating) for _, rating in ratings]))
