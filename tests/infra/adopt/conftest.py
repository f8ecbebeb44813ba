"""What people bring, made once a session in a child process; and a state folder for each test."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.openmp import environment
from infra.workspace import Workspace


@pytest.fixture(scope="session")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_brought.py filled."""
    folder = tmp_path_factory.mktemp("brought")
    script = Path(__file__).with_name("make_brought.py")
    made = subprocess.run(
        [sys.executable, script, folder],
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path_factory.mktemp("openmp")),
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "state")
