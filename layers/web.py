"""The layer of the control plane: FastAPI, Mangum and Powertools for the Python and CPU of the function.

boto3 is not in it. The Lambda image has one, which is larger than all of this, and what the control
plane asks of it (API Gateway keys, S3, CloudWatch) has not changed in years. The hot path has neither.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from layers.archive import Archive, write
from layers.bytecode import compiled
from layers.wheels import LOCKS, contents, fetch, locked

LOCK = "web.txt"
DOCS = "fastapi-offline"  # what /docs is drawn with, at the local server's pin
PLACE = "/opt/python"
DROPPED_FOLDERS = {"test", "tests", "testing"}
DROPPED_ENDINGS = (".pyi", ".typed", ".pyx", ".pxd", ".c", ".h")
# Of a distribution's record only what code asks for at run time, and the licence.
KEPT_RECORDS = {"METADATA", "entry_points.txt", "licenses"}


def build(folder: Path, python: str, machine: str) -> Archive:
    """Write `web-<python>-<machine>.zip` from requirements/web.txt."""
    lock = (LOCKS / LOCK).read_text(encoding="utf-8")
    if f"\n{DOCS}==" not in lock:
        lock += locked("run.txt", DOCS)
    with tempfile.TemporaryDirectory() as downloads:
        files = prune(contents(fetch(lock, python, machine, Path(downloads))))
    complete, notes = compiled(files, python, PLACE)
    placed = {f"python/{name}": data for name, data in complete.items()}
    return write(f"web-{python}-{machine}", placed, folder, notes)


def prune(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave out what no running function reads: tests, type stubs, commands, install records."""
    return {name: data for name, data in files.items() if _needed(Path(name))}


def _needed(path: Path) -> bool:
    first, *rest = path.parts
    if first.endswith(".data"):
        return False
    if first.endswith(".dist-info"):
        return rest[0] in KEPT_RECORDS
    return not DROPPED_FOLDERS & set(path.parts[:-1]) and path.suffix not in DROPPED_ENDINGS
