"""The model that servers and handlers are compared on: so small that what is around it is what counts.

A perceptron 4 → 16 → 3 on Fisher's Iris (`iris_training.py`). One row and what callers send of it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from infra.workspace import Workspace

NAME = "iris"
ROW = [5.1, 3.5, 1.4, 0.2]
BODY = {"instances": [ROW]}
PATH = f"/v1/models/{NAME}/predict"


def workspace(folder: Path, root: Path) -> Workspace:
    """A state folder in which it is published, trained if it is not there (half a minute)."""
    if not folder.is_dir():
        half = folder.with_name(f"{folder.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True, mode=0o700)
        command = [sys.executable, "-m", "tests.benchmarks.iris_training", str(half)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"training {NAME} failed:\n{done.stderr[-3000:]}")
        half.rename(folder)
    return Workspace(folder)
