"""What a brought file is, told by its first bytes: nothing of it is loaded here."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

MOST_BYTES = 1 << 30
HEAD = 64

PICKLES = (".pkl", ".pickle", ".joblib")
KNOWN = (
    ".keras, .h5, a SavedModel folder, .tflite, .skops, an XGBoost or LightGBM model file, or a scikit-learn "
    "pickle was expected"
)
_EXPORT_AGAIN = "bring what it was made from, or convert it to .tflite first"


class AdoptError(RuntimeError):
    """The file can't be served; the message says why, where, and what would help."""


def kind_of(path: Path) -> str:
    """What `infra/adopt/opened.py` calls such a file or folder; AdoptError where it is none that we know."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            _check_size(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
            return "savedmodel"
        raise AdoptError(f"{path} is a folder without saved_model.pb: a SavedModel was expected")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise AdoptError(f"{path} can't be read: {error.strerror}") from None
    _check_size(path, size)
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if head.startswith(b"{") and b"learner" in head:  # in JSON and in UBJSON
        return "xgboost"
    if head.startswith(b"tree\n"):
        return "lightgbm"
    if path.suffix in PICKLES or re.match(rb"\x80[\x02-\x05]", head):
        return "pickle"
    if path.suffix == ".tflite":
        raise AdoptError(f"{path.name} is no LiteRT file (bytes 4 to 8 should be TFL3): was it cut off?")
    if path.suffix == ".onnx":
        raise AdoptError(f"{path.name} is an ONNX file, which Payphone does not read: {_EXPORT_AGAIN}")
    raise AdoptError(f"{path.name} is of no known kind: {KNOWN}")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise AdoptError(f"{path.name} is damaged or cut off: copy it again from its source") from None
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    if "schema.json" in names:
        return "skops"
    if any(name.endswith("/data.pkl") for name in names):
        raise AdoptError(f"{path.name} is a PyTorch file, which Payphone does not read: {_EXPORT_AGAIN}")
    found = ", ".join(sorted(names)[:4])
    raise AdoptError(f"{path.name} is a zip of {found}: a .keras or .skops file was expected")


def _check_size(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise AdoptError(
            f"{path.name} has {size:,} bytes, {MOST_BYTES:,} at the most can be served: quantise or prune it"
        )
