"""The detector on small canvases: it finds and names digits it never saw, and so do its conversions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def fit() -> dict:
    script = Path(__file__).with_name("fit_detector.py")
    made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    return json.loads(made.stdout.splitlines()[-1])


def test_finds_and_names_digits(fit: dict) -> None:
    assert fit["f1"] > 0.8
    assert fit["shape"] == [4, 6]
    done, total = fit["told"]
    assert 0 < done <= total


def test_conversions_find_the_same(fit: dict) -> None:
    assert fit["converted"]["float32"] == 1.0
    assert fit["converted"]["dynamic-int8"] >= 0.9


def test_what_is_found_stands_before_the_zeros(fit: dict) -> None:
    assert fit["found_first"]
