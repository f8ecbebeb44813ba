"""Conversions, made once per session in a child process: TensorFlow stays out of the tests' own."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_cases.py filled."""
    folder = tmp_path_factory.mktemp("conversions")
    script = Path(__file__).with_name("make_cases.py")
    made = subprocess.run(
        [sys.executable, script, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return folder
