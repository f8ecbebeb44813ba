"""The digest of everything an artifact was made from: equal digests need not be made again.

There are two, because a change of the converter should not cost a training: `training_recipe`
covers what decides the weights, `artifact_recipe` that and what decides the published files.
Source files count by their bytes, frameworks by their installed versions. Nothing is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.catalog.entries import Entry, folder_of
from models.manifest import FORMAT

_MODELS = Path(__file__).parent
_FRAMEWORKS = ("ai-edge-litert", "keras", "numpy", "scikit-learn", "tensorflow", "tensorflow-cpu")


def training_recipe(entry: Entry) -> str:
    """Digest of what decides the trained model: data, split, encoding, parameters and their code."""
    settings = {
        "name": entry.name,
        "family": entry.family,
        "data": {name: data._asdict() for name, data in entry.data.items()},
        "split": entry.split,
        "encoding": entry.encoding,
        "training": entry.training,
        "frameworks": _installed(),
    }
    sources = [
        *sorted(folder_of(entry.name).glob("*.py")),
        *sorted((_MODELS / "preprocess").glob("*.py")),
        _MODELS / "families" / f"{entry.family}.py",
        _MODELS / "splits.py",
    ]
    return _digest(settings, sources)


def artifact_recipe(entry: Entry, quantization: str) -> str:
    """Digest of what decides the published files: the trained model, the gates and the conversion."""
    settings = {
        "training": training_recipe(entry),
        "entry": _plain(entry),
        "quantization": quantization,
        "format": FORMAT,
    }
    sources = [
        *sorted((_MODELS / "convert").glob("*.py")),
        _MODELS / "parity.py",
        _MODELS / "quantize.py",
    ]
    return _digest(settings, sources)


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        **entry._asdict(),
        "data": {name: data._asdict() for name, data in entry.data.items()},
        "gates": {name: gate._asdict() for name, gate in entry.gates.items()},
    }


def _installed() -> dict[str, str]:
    found = {}
    for name in _FRAMEWORKS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _digest(settings: Mapping[str, Any], sources: Iterable[Path]) -> str:
    digest = sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sources:
        digest.update(f"\0{path.relative_to(_MODELS).as_posix()}\0".encode())
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()
