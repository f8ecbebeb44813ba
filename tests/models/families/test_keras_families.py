"""The Keras families on small tasks: each learns, and each conversion of it answers as it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LEARNT = {"cnn": 0.9, "cnn-series": 0.85, "gru": 0.85, "transformer": 0.85, "spectrogram": 0.9}
# Largest difference of a probability, and the least share of equal labels.
LIMITS = {
    "float32": (1e-5, 1.0),
    "float16": (0.05, 0.98),
    "dynamic-int8": (0.3, 0.94),
    "full-int8": (0.6, 0.9),
}
# The spectrum's range is too wide for eight bits: the catalog's entry does not try it.
OUT_OF_RANGE = {("spectrogram", "dynamic-int8"), ("spectrogram", "full-int8"), ("transformer", "full-int8")}


@pytest.fixture(scope="module")
def fits() -> dict:
    script = Path(__file__).with_name("fit_families.py")
    made = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, cwd=ROOT, env=None
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return json.loads(made.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", LEARNT)
def test_learns(fits: dict, case: str) -> None:
    found = fits[case]
    assert found["accuracy"] >= LEARNT[case]
    assert 1 <= found["facts"]["best_epoch"] <= found["facts"]["epochs"]
    done, total = found["told"]
    assert 0 < done <= total


@pytest.mark.parametrize("quantization", LIMITS)
@pytest.mark.parametrize("case", LEARNT)
def test_conversions_answer_as_keras(fits: dict, case: str, quantization: str) -> None:
    found = fits[case]["converted"][quantization]
    assert found["input"] == ("int32" if case == "transformer" else "float32")
    assert found["bytes"] <= fits[case]["converted"]["float32"]["bytes"]
    if (case, quantization) not in OUT_OF_RANGE:
        difference, agreement = LIMITS[quantization]
        assert found["max_diff"] <= difference
        assert found["agreement"] >= agreement


def test_padding_counts_for_nothing(fits: dict) -> None:
    assert fits["gru"]["padding"] < 1e-6


def test_the_spectrum_is_that_of_tensorflow_s_own_transform(fits: dict) -> None:
    assert fits["spectrogram"]["fourier"] < 1e-5


def test_mel_bands_are_htk_s(fits: dict) -> None:
    """TensorFlow builds its triangles in mel, we in Hz: they weigh nearly the same, and peak below 1."""
    weight, peak = fits["spectrogram"]["mel"]
    assert weight < 0.5
    assert peak <= 1.0
