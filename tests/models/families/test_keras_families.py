"""The Keras families on small tasks: each learns, and each conversion of it answers as it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LEARNT = {"cnn": 0.85, "cnn-series": 0.55, "gru": 0.7, "transformer": 0.85, "spectrogram": 0.9}
# Largest difference of a probability, and the least share of equal labels, on a few hundred rows.
LIMITS = {
    "float32": (1e-5, 1.0),
    "float16": (0.02, 0.99),
    "dynamic-int8": (0.1, 0.98),
    "full-int8": (0.2, 0.96),
}


@pytest.fixture(scope="module")
def fits() -> dict:
    script = Path(__file__).with_name("fit_families.py")
    made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    return json.loads(made.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", LEARNT)
def test_learns(fits: dict, case: str) -> None:
    found = fits[case]
    assert found["accuracy"] >= LEARNT[case]
    assert 1 <= found["facts"]["best_epoch"] <= found["facts"]["epochs"]
    done, total = found["told"]
    assert 0 < done <= total


@pytest.mark.parametrize("case", LEARNT)
def test_conversions_answer_as_keras(fits: dict, case: str) -> None:
    converted = fits[case]["converted"]
    assert len(converted) >= 2
    for quantization, found in converted.items():
        assert found["input"] == ("int32" if case == "transformer" else "float32")
        assert found["bytes"] <= converted["float32"]["bytes"]
        difference, agreement = LIMITS[quantization]
        assert found["max_diff"] <= difference
        assert found["agreement"] >= agreement


def test_padding_counts_for_nothing(fits: dict) -> None:
    assert fits["gru"]["padding"] < 1e-6


def test_the_spectrum_is_that_of_tensorflow_s_own_transform(fits: dict) -> None:
    assert fits["spectrogram"]["fourier"] < 1e-5


def test_mel_bands_are_tensorflow_s(fits: dict) -> None:
    """It draws its triangles over mel, we over Hz, so they weigh nearly the same; they peak at 1."""
    weight, peak = fits["spectrogram"]["mel"]
    assert weight < 0.01
    assert peak <= 1.0
