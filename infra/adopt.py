"""Bring your own model: a file of anyone's making becomes a published version, or a reason why not.

Nothing of the file is loaded here. Its kind is told by its first bytes; a child process
(`infra/adopt_child.py`) opens, converts and proves it, and if that dies, this says so.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from infra.workspace import Workspace
from models.manifest import MANIFEST_FILE, Manifest, from_json

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MOST_BYTES = 1 << 30
SECONDS = 900
WITHOUT_SAMPLE = ("float32",)
WITH_SAMPLE = ("float32", "float16", "dynamic-int8")

PICKLES = (".pkl", ".pickle", ".joblib")
_HDF5, _TFLITE = b"\x89HDF\r\n\x1a\n", b"TFL3"


class AdoptError(RuntimeError):
    """The file can't be served; the message says why, where, and what would help."""


class Adopted(NamedTuple):
    """The published version, whether it is live, what was noted, and a request that it answers."""

    manifest: Manifest
    live: bool
    notes: list[str]
    request: dict[str, Any]


def adopt(
    path: Path,
    name: str,
    place: Workspace,
    *,
    labels: Sequence[str] = (),
    sample: Path | None = None,
    signature: str | None = None,
    raw: bool = False,
    trust: bool = False,
    licence: str = "not stated",
) -> Adopted:
    """Publish the model at `path` as `name`; AdoptError says why not.

    `trust` vouches for a file that runs code when it is opened. `raw` leaves quantised tensors as
    they are. Without a `sample` no weights are quantised: made-up rows can't show what that costs.
    """
    if not NAME.fullmatch(name):
        raise AdoptError(
            f"{name!r} can't be a model's name: a lower-case letter, then letters, digits, - or _"
        )
    kind = kind_of(path)
    if kind == "pickle" and not trust:
        raise AdoptError(
            f"{path.name} is a pickle, and opening one runs whatever code its maker put into it. "
            "If you made it yourself or trust who did, add --trust"
        )
    with TemporaryDirectory() as temporary:
        order = {
            "path": str(path.absolute()),
            "kind": kind,
            "folder": temporary,
            "name": name,
            "labels": list(labels),
            "sample": None if sample is None else str(sample.absolute()),
            "signature": signature,
            "raw": raw,
            "trust": trust,
            "licence": licence,
            "quantizations": WITH_SAMPLE if sample else WITHOUT_SAMPLE,
        }
        notes = _run_child(order, path, place.logs / f"add-{name}.log")
        artifact = Path(temporary) / "artifact"
        draft = from_json((artifact / MANIFEST_FILE).read_bytes())
        registry = place.registry()
        files = {ref.name: (artifact / ref.name).read_bytes() for ref in draft.files}
        manifest = registry.publish(draft, files)
        request = json.loads((Path(temporary) / "request.json").read_text("utf-8"))
    return Adopted(manifest, registry.live(name) == manifest.version, notes, request)


def kind_of(path: Path) -> str:
    """What `infra/adopt_sources.py` calls such a file or folder, by its first bytes; AdoptError for none."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise AdoptError(f"{path} is a folder without saved_model.pb: a SavedModel was expected")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise AdoptError(f"{path} can't be read: {error.strerror}") from None
    if size > MOST_BYTES:
        raise AdoptError(
            f"{path.name} has {size:,} bytes, {MOST_BYTES:,} at the most can be served: quantise or prune it"
        )
    if head[4:8] == _TFLITE:
        return "tflite"
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if path.suffix in PICKLES or re.match(rb"\x80[\x02-\x05]", head):
        return "pickle"
    if path.suffix == ".tflite":
        raise AdoptError(f"{path.name} is no LiteRT file (bytes 4 to 8 should be TFL3): was it cut off?")
    raise AdoptError(
        f"{path.name} is of no known kind: .keras, .h5, a SavedModel folder, .tflite or a scikit-learn "
        "pickle was expected"
    )


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        raise AdoptError(f"{path.name} is damaged or cut off: copy it again from its source") from None
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    found = ", ".join(sorted(names)[:4])
    raise AdoptError(f"{path.name} is a zip of {found}: a .keras file was expected")


def _run_child(order: dict[str, Any], path: Path, log: Path) -> list[str]:
    """Let the child do it; gives its notes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "infra.adopt_child", json.dumps(order)]
    with log.open("w") as noise:
        try:
            child = subprocess.run(  # noqa: S603 - our own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=noise,
                text=True,
                timeout=SECONDS,
                cwd=Path(__file__).parent.parent,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AdoptError(f"{path.name} was not done within {SECONDS} s. See {log}") from None
    if child.returncode < 0:
        cause = signal.Signals(-child.returncode).name
        raise AdoptError(
            f"{path.name} crashed the process that looked at it ({cause}); nothing else was touched. "
            f"The file is damaged or made for another runtime: convert it again. See {log}"
        )
    answer = json.loads(child.stdout.splitlines()[-1]) if child.stdout.strip() else {}
    if "refused" in answer:
        raise AdoptError(f"{path.name}: {answer['refused']}")
    if child.returncode or "notes" not in answer:
        last = next((line for line in reversed(log.read_text().splitlines()) if line.strip()), "nothing")
        raise AdoptError(f"{path.name} can't be opened. See {log}; it ends: {last}")
    return list(answer["notes"])
