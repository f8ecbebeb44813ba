"""XGBoost and LightGBM files → LiteRT: the answers of the libraries that wrote them, NaN included."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import Tensor
from infra.openmp import environment

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
CASES = [
    "x-cancer",
    "x-iris",
    "x-parallel-iris",
    "x-dart-cancer",
    "x-early-cancer",
    "x-diabetes",
    "x-poisson-diabetes",
    "l-cancer",
    "l-whole-cancer",
    "l-centred-cancer",
    "l-iris",
    "l-each-iris",
    "l-forest-cancer",
    "l-diabetes",
    "l-poisson-diabetes",
    "l-rooted-diabetes",
]
REFUSALS = {
    "x-linear-cancer": ["'gblinear'", "gbtree"],
    "x-hinge-cancer": ["'binary:hinge'", "binary:logistic"],
    "x-categories-iris": ["splits on categories", "one-hot"],
    "x-broken": ["no XGBoost model in JSON", "save_model"],
    "l-zero-cancer": ["zero_as_missing=False"],
    "l-linear-diabetes": ["linear_tree=False"],
    "l-own-diabetes": ["objective of its own", "binary"],
    "l-broken": ["no LightGBM model in text", "save_model"],
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fit_all.py left, each file beside <case>.tflite or <case>.refused."""
    folder = tmp_path_factory.mktemp("boosters")
    known = environment(tmp_path_factory.mktemp("openmp"))
    for script in ("fit_all.py", "convert_all.py"):
        made = subprocess.run(
            [sys.executable, HERE / script, folder],
            capture_output=True,
            text=True,
            check=False,
            env={**known, "PYTHONPATH": str(ROOT)},
        )
        assert made.returncode == 0, made.stderr[-4000:]
    return folder


@pytest.mark.parametrize("case", CASES)
def test_answers_as_the_library(folder: Path, case: str) -> None:
    """On real rows, on and beside every threshold, and on rows of zeros, denormals, NaN and what is huge."""
    refused = folder / f"{case}.refused"
    assert not refused.exists(), refused.read_text()
    kept = np.load(folder / f"{case}.npz")
    rows, expected = kept["rows"], kept["expected"]
    runtime = LiteRTModel((folder / f"{case}.tflite").read_bytes())
    for size in (len(rows), 1):
        given = Tensor("features", "float32", rows[:size].shape, rows[:size].tobytes())
        (output,) = runtime.run("predict", [given])
        assert isinstance(output.data, bytes)
        found = np.frombuffer(output.data, "float32").reshape(output.shape)
        if expected.ndim == 2:
            wrong = np.flatnonzero(found.argmax(axis=1) != expected[:size].argmax(axis=1))
            assert not len(wrong), (len(wrong), rows[wrong[0]], found[wrong[0]], expected[wrong[0]])
            np.testing.assert_allclose(found, expected[:size], atol=1e-5, rtol=0)
        else:
            np.testing.assert_allclose(found, expected[:size], atol=1e-5, rtol=1e-5)


def test_every_case_made_is_tested(folder: Path) -> None:
    assert sorted(path.stem for path in folder.glob("*.npz")) == sorted(CASES)
    assert sorted(path.stem for path in folder.glob("*.refused")) == sorted(REFUSALS)


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_by_name_and_says_what_to_do(folder: Path, case: str) -> None:
    message = (folder / f"{case}.refused").read_text()
    assert all(part in message for part in REFUSALS[case]), message
