"""Fit every case with its library and keep its file, hard rows and the library's answers. Run as a child.

python fit_all.py FOLDER → <case>.xgboost or <case>.lightgbm, and <case>.npz: "rows", "expected"
"""

import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

QUIET = {"verbosity": -1, "n_jobs": 1, "n_estimators": 20}
DATA = {
    "iris": load_iris(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
}
CASES: dict[str, Any] = {
    "x-cancer": xgboost.XGBClassifier(n_estimators=30, max_depth=4),
    "x-iris": xgboost.XGBClassifier(n_estimators=15),
    "x-parallel-iris": xgboost.XGBRFClassifier(n_estimators=5, subsample=0.7),
    "x-dart-cancer": xgboost.XGBClassifier(n_estimators=15, booster="dart", rate_drop=0.3, random_state=0),
    "x-early-cancer": xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.6),
    "x-diabetes": xgboost.XGBRegressor(n_estimators=30),
    "x-poisson-diabetes": xgboost.XGBRegressor(n_estimators=20, objective="count:poisson"),
    "l-cancer": lightgbm.LGBMClassifier(**QUIET),
    "l-whole-cancer": lightgbm.LGBMClassifier(**QUIET, use_missing=False),
    "l-centred-cancer": lightgbm.LGBMClassifier(**QUIET),
    "l-iris": lightgbm.LGBMClassifier(**QUIET),
    "l-each-iris": lightgbm.LGBMClassifier(**QUIET, objective="multiclassova"),
    "l-forest-cancer": lightgbm.LGBMClassifier(
        **QUIET, boosting_type="rf", subsample=0.6, subsample_freq=1, random_state=0
    ),
    "l-diabetes": lightgbm.LGBMRegressor(**QUIET),
    "l-poisson-diabetes": lightgbm.LGBMRegressor(**QUIET, objective="poisson"),
    "l-rooted-diabetes": lightgbm.LGBMRegressor(**QUIET, reg_sqrt=True),
}
REFUSED: dict[str, Any] = {
    "x-linear-cancer": xgboost.XGBClassifier(n_estimators=3, booster="gblinear"),
    "x-hinge-cancer": xgboost.XGBClassifier(n_estimators=3, objective="binary:hinge"),
    "x-categories-iris": xgboost.XGBClassifier(
        n_estimators=3, enable_categorical=True, feature_types=["c", "q", "q", "q"]
    ),
    "l-zero-cancer": lightgbm.LGBMClassifier(**QUIET, zero_as_missing=True),
    "l-linear-diabetes": lightgbm.LGBMRegressor(**QUIET, linear_tree=True),
    "l-own-diabetes": lightgbm.LGBMRegressor(
        **QUIET, objective=lambda known, guess: (guess - known, guess * 0 + 1)
    ),
}
TINY = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, -1.1754942e-38]
# LightGBM takes what is not above this for zero.
ZERO = [np.float32(1e-35) * side * step for side in (1, -1) for step in (0.5, 1, 1 + 2**-22)]
HUGE = [3.4028235e38, -3.4028235e38, 1e30, -1e30, np.nan]


def main(folder: Path) -> None:
    for case, model in {**CASES, **REFUSED}.items():
        rows, targets = rows_of(case)
        options = {"eval_set": [(rows[1::2], targets[1::2])], "verbose": False} if "early" in case else {}
        if "categories" in case:
            rows = np.floor(rows)
        model.fit(rows[::2], targets[::2], **options)
        if case.startswith("x-"):
            model.get_booster().save_model(folder / f"{case}.json")
            (folder / f"{case}.json").rename(folder / f"{case}.xgboost")
        else:
            model.booster_.save_model(folder / f"{case}.lightgbm")
        if case in CASES:
            hard = hard_rows(rows, splits(case, model))
            answer = getattr(model, "predict_proba", model.predict)
            np.savez(folder / f"{case}.npz", rows=hard, expected=answer(hard))
    (folder / "x-broken.xgboost").write_bytes((folder / "x-iris.xgboost").read_bytes()[:-50])
    (folder / "l-broken.lightgbm").write_bytes(b"tree\nversion=v4\n")


def rows_of(case: str) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = DATA[case.rpartition("-")[2]]
    rows = rows.astype("float32")
    if "whole" in case:
        return rows, targets
    if "centred" in case:  # so that trees split on either side of zero
        rows = np.where(
            np.abs(rows - np.median(rows, axis=0)) < rows.std(axis=0), 0, rows - rows.mean(axis=0)
        )
    rows[np.random.default_rng(0).random(rows.shape) < 0.05] = np.nan
    return rows.astype("float32"), targets


def splits(case: str, model: Any) -> np.ndarray:
    """(feature, threshold) of every split, as the libraries' own dumps have them."""
    found: list[tuple[int, float]] = []
    if case.startswith("x-"):
        for line in "".join(model.get_booster().get_dump()).splitlines():
            if "[f" in line:
                feature, threshold = line.partition("[f")[2].partition("]")[0].split("<")
                found.append((int(feature), float(threshold)))
        return np.array(found)
    waiting = [tree["tree_structure"] for tree in model.booster_.dump_model()["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "threshold" in node:
            found.append((node["split_feature"], node["threshold"]))
            waiting += [node["left_child"], node["right_child"]]
    return np.array(found)


def hard_rows(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Real rows; rows with a value on or beside a threshold; rows of thresholds, zeros and what is huge."""
    random = np.random.default_rng(0)
    at = found[:, 1].astype("float32")
    near = np.concatenate([at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))])
    beside = known[random.integers(0, len(known), len(near))].copy()
    beside[np.arange(len(near)), np.tile(found[:, 0].astype(int), 3)] = near
    pool = np.array([*near, *np.repeat(TINY + ZERO + HUGE, 1 + len(near) // 50)], "float32")
    mixed = random.choice(pool, (1_000, known.shape[1]))
    specials = np.array(TINY + ZERO + HUGE, "float32")
    single = known[random.integers(0, len(known), len(specials) * known.shape[1])].copy()
    single[np.arange(len(single)), np.repeat(np.arange(known.shape[1]), len(specials))] = np.tile(
        specials, known.shape[1]
    )
    plain = [known, np.nan_to_num(known), known * 0, known * np.nan]
    return np.concatenate([*plain, beside, mixed, single])


main(Path(sys.argv[1]))
