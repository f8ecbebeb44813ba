"""XGBoost and LightGBM files → LiteRT: the answers of the libraries that wrote them, NaN included."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import Tensor

QUIET = {"verbosity": -1, "n_jobs": 1, "n_estimators": 20}
DATA = {
    "iris": load_iris(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
}
XGBOOST = {
    "x-cancer": xgboost.XGBClassifier(n_estimators=30, max_depth=4),
    "x-iris": xgboost.XGBClassifier(n_estimators=15),
    "x-parallel-iris": xgboost.XGBRFClassifier(n_estimators=5, subsample=0.7),
    "x-dart-cancer": xgboost.XGBClassifier(n_estimators=15, booster="dart", rate_drop=0.3, random_state=0),
    "x-early-cancer": xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.6),
    "x-diabetes": xgboost.XGBRegressor(n_estimators=30),
    "x-poisson-diabetes": xgboost.XGBRegressor(n_estimators=20, objective="count:poisson"),
}
LIGHTGBM = {
    "l-cancer": lightgbm.LGBMClassifier(**QUIET),
    "l-whole-cancer": lightgbm.LGBMClassifier(**QUIET, use_missing=False),
    "l-iris": lightgbm.LGBMClassifier(**QUIET),
    "l-forest-cancer": lightgbm.LGBMClassifier(
        **QUIET, boosting_type="rf", subsample=0.6, subsample_freq=1, random_state=0
    ),
    "l-diabetes": lightgbm.LGBMRegressor(**QUIET),
    "l-poisson-diabetes": lightgbm.LGBMRegressor(**QUIET, objective="poisson"),
}
CASES = {**XGBOOST, **LIGHTGBM}
REFUSED = {
    "x-linear-cancer": (xgboost.XGBClassifier(n_estimators=3, booster="gblinear"), ["'gblinear'", "gbtree"]),
    "x-hinge-cancer": (xgboost.XGBClassifier(n_estimators=3, objective="binary:hinge"), ["'binary:hinge'"]),
    "l-zero-cancer": (lightgbm.LGBMClassifier(**QUIET, zero_as_missing=True), ["zero_as_missing=False"]),
    "l-linear-diabetes": (lightgbm.LGBMRegressor(**QUIET, linear_tree=True), ["linear_tree=False"]),
}


def holes(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype("float32")
    rows[np.random.default_rng(0).random(rows.shape) < 0.05] = np.nan
    return rows


def rows_of(case: str) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = DATA[case.rpartition("-")[2]]
    return (rows.astype("float32") if "whole" in case else holes(rows)), targets


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each case fitted and in its library's own file, beside <case>.tflite or <case>.refused."""
    folder = tmp_path_factory.mktemp("boosters")
    for case, model in {**CASES, **{case: model for case, (model, _) in REFUSED.items()}}.items():
        rows, targets = rows_of(case)
        options = {"eval_set": [(rows[1::2], targets[1::2])], "verbose": False} if "early" in case else {}
        model.fit(rows[::2], targets[::2], **options)
        if case.startswith("x-"):
            model.get_booster().save_model(folder / f"{case}.json")
            (folder / f"{case}.json").rename(folder / f"{case}.xgboost")
        else:
            model.booster_.save_model(folder / f"{case}.lightgbm")
    (folder / "x-broken.xgboost").write_bytes((folder / "x-iris.xgboost").read_bytes()[:-50])
    (folder / "l-broken.lightgbm").write_bytes(b"tree\nversion=v4\n")
    made = subprocess.run(
        [sys.executable, Path(__file__).with_name("convert_all.py"), folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[4]), *sys.path])},
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return folder


@pytest.fixture(scope="session")
def answer(folder: Path) -> Callable[[str, np.ndarray], np.ndarray]:
    """Answer rows with a case's conversion, through the serving runtime."""
    loaded: dict[str, LiteRTModel] = {}

    def run(case: str, rows: np.ndarray) -> np.ndarray:
        if case not in loaded:
            refused = folder / f"{case}.refused"
            assert not refused.exists(), refused.read_text()
            loaded[case] = LiteRTModel((folder / f"{case}.tflite").read_bytes())
        given = np.ascontiguousarray(rows, "float32")
        (output,) = loaded[case].run("predict", [Tensor("features", "float32", given.shape, given.tobytes())])
        assert isinstance(output.data, bytes)
        return np.frombuffer(output.data, "float32").reshape(output.shape)

    return run


def agrees(model: Any, found: np.ndarray, rows: np.ndarray) -> None:
    if hasattr(model, "predict_proba"):
        shares = model.predict_proba(rows)
        np.testing.assert_allclose(found, shares, atol=1e-5, rtol=0)
        assert (found.argmax(axis=1) == shares.argmax(axis=1)).all()
    else:
        np.testing.assert_allclose(found, model.predict(rows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_answers_as_the_library_on_real_rows(answer: Callable[..., np.ndarray], case: str) -> None:
    rows = rows_of(case)[0]
    for given in (rows[1::2], np.nan_to_num(rows), rows * 0, rows * np.nan):
        agrees(CASES[case], answer(case, given), given)


def conditions(case: str) -> np.ndarray:
    """(feature, threshold) of every split."""
    model = CASES[case]
    if case.startswith("x-"):
        table = model.get_booster().trees_to_dataframe()
        table = table[table["Feature"] != "Leaf"]
        return np.stack([table["Feature"].str[1:].astype(int), table["Split"]], axis=1)
    table = model.booster_.trees_to_dataframe().dropna(subset=["threshold"])
    names = model.booster_.feature_name()
    return np.stack([table["split_feature"].map(names.index), table["threshold"].astype(float)], axis=1)


@pytest.mark.parametrize("case", CASES)
def test_holds_on_and_beside_every_threshold(answer: Callable[..., np.ndarray], case: str) -> None:
    splits = conditions(case)
    at = splits[:, 1].astype("float32")
    near = np.concatenate([at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))])
    known = rows_of(case)[0]
    rows = known[np.random.default_rng(0).integers(0, len(known), len(near))].copy()
    rows[np.arange(len(near)), np.tile(splits[:, 0].astype(int), 3)] = near
    agrees(CASES[case], answer(case, rows), rows)


@pytest.mark.parametrize(("case", "parts"), [(case, parts) for case, (_, parts) in REFUSED.items()])
def test_refuses_by_name_and_says_what_to_do(folder: Path, case: str, parts: list[str]) -> None:
    message = (folder / f"{case}.refused").read_text()
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("case", "part"), [("x-broken", "no XGBoost model in JSON"), ("l-broken", "no LightGBM model in text")]
)
def test_a_broken_file_is_refused(folder: Path, case: str, part: str) -> None:
    assert part in (folder / f"{case}.refused").read_text()
