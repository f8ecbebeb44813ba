"""The digest of everything an artifact was made from: equal digests need not be made again.

There are two, because a change of the converter should not cost a training: `training_recipe`
covers what decides the weights, `artifact_recipe` that and what decides the published files.
Source files count by their bytes, frameworks by their installed versions. Nothing is imported.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.catalog.entries import Entry
from models.families.kinds import FAMILIES
from models.manifest import FORMAT

_MODELS = Path(__file__).parent
# They name what there is and decide nothing; a new entry in one must not train every model anew.
_WIRING = {"models.catalog.entries", "models.families.kinds", "models.convert.kinds", "models.trained"}
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
    # An entry that learns nothing itself, such as a pretrained model, has no file in `families`.
    family = FAMILIES.get(entry.family)
    roots = [f"{entry.package}.train", *([family] if family else [])]
    return _digest(settings, _imported(roots))


def artifact_recipe(entry: Entry, quantization: str) -> str:
    """Digest of what decides the published files: the trained model, the gates and the conversion."""
    settings = {
        "training": training_recipe(entry),
        "entry": _plain(entry),
        "quantization": quantization,
        "format": FORMAT,
    }
    sources = [
        *sorted((_MODELS / "convert").rglob("*.py")),
        _MODELS / "parity.py",
        _MODELS / "quantize.py",
    ]
    return _digest(settings, sources)


def _imported(roots: Iterable[str]) -> list[Path]:
    """The files of these modules and of all of ours that they import, but for the wiring between them."""
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _MODELS.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in found or name in _WIRING or not path.is_file():
            continue
        found[name] = path
        imports = (n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.ImportFrom))
        waiting += [node.module for node in imports if node.module and node.module.startswith("models.")]
    return [found[name] for name in sorted(found)]


def _plain(entry: Entry) -> dict[str, Any]:
    """All but the words about it, which decide nothing."""
    settings = {key: value for key, value in entry._asdict().items() if key not in ("call", "remark")}
    return {
        **settings,
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
