"""Wheels for another machine than this one: from a hash-pinned lock, for the Python and CPU of a function.

pip fetches them and checks their hashes; they are unpacked here rather than installed, so nothing of
the building machine gets in.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "requirements"
# Lambda's name of a CPU to that of wheels. Python 3.12 and later run on Amazon Linux 2023, glibc 2.34.
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
GLIBC = (34, 28, 27, 17)


class WheelError(Exception):
    """A wheel that can't be had, or not with the hash its lock names."""


def fetch(lock: str, python: str, machine: str, folder: Path) -> list[Path]:
    """Download what the lock's text names, for `python` ("3.12") on `machine` ("x86_64", "arm64")."""
    if machine not in MACHINES:
        raise WheelError(f"{machine!r} is no CPU of Lambda: {' or '.join(MACHINES)} was expected")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform=manylinux_2_{glibc}_{MACHINES[machine]}" for glibc in GLIBC]
    command += [f"--platform=manylinux2014_{MACHINES[machine]}", "--require-hashes", f"--dest={folder}"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(lock)
        requirements.flush()
        done = subprocess.run(  # noqa: S603
            [*command, f"--requirement={requirements.name}"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise WheelError(
            f"pip could not fetch wheels for Python {python} on {machine}:\n{done.stderr.strip()}"
        )
    return sorted(folder.glob("*.whl"))


def locked(lock: str, package: str) -> str:
    """The lock's entry of one package, hashes included."""
    lines = (LOCKS / lock).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"{package}=="):
            end = number
            while lines[end].endswith("\\"):
                end += 1
            return "\n".join(lines[number : end + 1]) + "\n"
    raise WheelError(f"requirements/{lock} has no {package}: run `make lock`")


def contents(wheels: Iterable[Path]) -> dict[str, bytes]:
    """All files of some wheels, by their name below site-packages."""
    files: dict[str, bytes] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            files |= {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    return files
