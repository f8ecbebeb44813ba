"""Everything the local AWS needs, installed once into a cache folder: no Docker, no root, no system Node.

    python tests/cloud/emulator/provision.py        fills the cache and prints where things are, as JSON

Two environments from hash-pinned locks (the emulator's, and what a function finds in the Lambda
image), and the Node and CDK command line that a deploy uses (infra/tools.py). A folder is made beside
its place and renamed once complete, so an interrupted run leaves nothing half done; a changed lock
gets a new folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from infra.tools import cache_folder, cdk, node

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "requirements"


class Tools(NamedTuple):
    """Where the pieces lie. `lambda_python` runs the functions, whatever Python they ask for."""

    emulator_python: Path
    lambda_python: Path
    node: Path
    cdk: Path


def prepare(cache: Path | None = None) -> Tools:
    """Install what is missing (under a minute, once) and say where everything is."""
    folder = cache or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return Tools(environment(folder, "emulator"), environment(folder, "lambda"), node(), cdk(folder))


def environment(cache: Path, name: str) -> Path:
    """The interpreter of a virtual environment that holds `requirements/<name>.txt` and nothing else."""
    lock = LOCKS / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    place = cache / f"{name}-{version}-{digest(lock)}"
    if not place.is_dir():
        half = fresh(place)
        run([sys.executable, "-m", "venv", "--symlinks", str(half)])
        pip = [str(half / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, "--require-hashes", "--requirement", str(lock)])
        half.rename(place)  # only its scripts know their own place, and we call none of them
    return place / "bin" / "python"


def digest(lock: Path) -> str:
    """Names a lock's content in a folder's name."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]


def fresh(place: Path) -> Path:
    """A sibling of `place` that this process fills before it takes the name."""
    half = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(half, ignore_errors=True)
    return half


def run(command: list[str], cwd: Path | None = None) -> None:
    """Run a tool quietly; if it fails, stop with what it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    print(json.dumps({name: str(path) for name, path in prepare()._asdict().items()}, indent=2))  # noqa: T201
