"""LightGBM finds an OpenMP runtime in a process that is started for it, whatever the system has."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.openmp import SEARCHED, environment

USED = """
import lightgbm
with open("/proc/self/maps") as maps:
    print({line.split()[-1] for line in maps if "libgomp" in line and "xgboost" not in line})
"""


def test_lightgbm_loads_scikit_learn_s_copy(tmp_path: Path) -> None:
    known = environment(tmp_path / "lib")
    assert environment(tmp_path / "lib") == known  # a second time changes nothing
    done = subprocess.run(
        [sys.executable, "-c", USED], env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "scikit_learn.libs" in done.stdout
    assert done.stdout.count("libgomp") == 1


def test_what_was_searched_before_is_searched_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SEARCHED, "/some/where")
    assert environment(tmp_path)[SEARCHED] == f"{tmp_path}:/some/where"
