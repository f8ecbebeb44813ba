"""The LSTM family, on a small task: it learns, stops early, tells its progress and repeats itself."""

import json
import subprocess
import sys

import pytest

FIT_TWICE = """
import json
import numpy as np
from models.families.kinds import Rows, family

PARAMETERS = {"vocabulary": 50, "length": 10, "embedding": 8, "units": 8, "batch": 32,
              "epochs": 40, "patience": 1, "seed": 3}
random = np.random.default_rng(0)
inputs = random.integers(1, 50, (960, 10)).astype("int32")
targets = (inputs == 7).any(axis=1).astype("int32")  # is the word 7 in it?
train, validation = Rows(inputs[:800], targets[:800]), Rows(inputs[800:], targets[800:])
told, runs = [], []
for _ in range(2):
    fitted = family("lstm").fit(PARAMETERS, train, validation, lambda *at: told.append(at))
    weights = [float(np.abs(weight).sum()) for weight in fitted.source.get_weights()]
    guessed = fitted.source.predict(validation.inputs, verbose=0)[:, 0] > 0.5
    accuracy = float((guessed == validation.targets).mean())
    runs.append({"weights": weights, "accuracy": accuracy, **fitted.facts})
print(json.dumps({"runs": runs, "told": told}))
"""


@pytest.fixture(scope="module")
def fits() -> dict:
    made = subprocess.run([sys.executable, "-c", FIT_TWICE], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return json.loads(made.stdout.splitlines()[-1])


def test_learns(fits: dict) -> None:
    assert fits["runs"][0]["accuracy"] > 0.9


def test_repeats_itself_exactly(fits: dict) -> None:
    first, second = fits["runs"]
    assert first == second


def test_keeps_the_best_epoch(fits: dict) -> None:
    run = fits["runs"][0]
    assert 1 <= run["best_epoch"] <= run["epochs"] <= 40


def test_tells_every_batch(fits: dict) -> None:
    batches = 800 // 32
    epochs = fits["runs"][0]["epochs"]
    told = fits["told"][: epochs * batches]
    assert [done for _, done, _ in told] == list(range(1, epochs * batches + 1))
    assert {total for _, _, total in told} == {40 * batches}
    assert told[0][0] == "Epoch 1 of at most 40"
