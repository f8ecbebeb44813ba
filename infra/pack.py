"""First stage of a deploy: everything that a stage runs, as zips held against Lambda's limits.

    the code of each function, with just the modules it imports
    the runtime layer (LiteRT) and the web layer (the control plane's packages)
    one data-only layer per model that is deployed as a layer

The runtime and web layers change only with their locks, so they are built once a machine and kept.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.service import Settings
from infra.service_aws import ModelOnAws
from infra.target import Target
from infra.tools import cache_folder
from layers import bundle, model, runtime, web
from layers.archive import Archive
from layers.budget import Report, check
from layers.wheels import LOCKS
from models.manifest import Manifest
from models.registry import Registry, UnknownModel

HANDLERS = ("predict", "control", "meter", "seal", "notify")
WEB_HANDLERS = ("control", "meter", "seal", "notify")
LONGEST_NAME = 64


class NameTooLong(ValueError):
    """No Lambda function can have the name that a model's would have on this stage."""


class PackedModel(NamedTuple):
    """One model of a stage. `layer` is None where its Lambda loads it from S3."""

    manifest: Manifest
    settings: ModelOnAws
    layer: Archive | None


class Packed(NamedTuple):
    """The zips of a stage: code by handler, the two shared layers, the models, and all budgets."""

    code: dict[str, Archive]
    runtime: Archive
    web: Archive
    models: tuple[PackedModel, ...]
    reports: tuple[Report, ...]


def pack(settings: Settings, registry: Registry, target: Target, folder: Path) -> Packed:
    """Pack the live version of each served model, and the functions; OverBudget before any deploy.

    UnknownModel says which model is not published yet; NameTooLong.
    """
    for name in settings.models.serve:
        function = target.function(name)
        if len(function) > LONGEST_NAME:
            raise NameTooLong(
                f"{name} is too long a name on the stage {target.stage}: its function would be {function}, "
                f"{len(function)} characters, and Lambda takes {LONGEST_NAME}"
            )
    code = {
        name: bundle.build(f"functions.handlers.{name}", folder / "code", target.python) for name in HANDLERS
    }
    kept = cache_folder() / f"layers-{_digest()}"
    shared_runtime = _once(
        kept / f"runtime-{target.machine}.zip", lambda: runtime.build(kept, target.machine)
    )
    shared_web = _once(
        kept / f"web-{target.python}-{target.machine}.zip",
        lambda: web.build(kept, target.python, target.machine),
    )
    models = tuple(_model(settings, registry, name, folder) for name in settings.models.serve)
    reports = [check(code[name], [shared_web]) for name in WEB_HANDLERS]
    reports += [
        check(code["predict"], [shared_runtime, *([one.layer] if one.layer else [])]) for one in models
    ]
    return Packed(code, shared_runtime, shared_web, models, tuple(reports))


def _model(settings: Settings, registry: Registry, name: str, folder: Path) -> PackedModel:
    version = registry.live(name)
    if version is None:
        raise UnknownModel(f"{name} is to be served and not published: payphone model train {name}")
    chosen = settings.aws.model(name)
    layer = model.build(registry, name, version, folder / "models") if chosen.artifact == "layer" else None
    return PackedModel(registry.manifest(name, version), chosen, layer)


def _once(path: Path, build: Callable[[], Archive]) -> Archive:
    """The zip under `path`, built if it is not there."""
    if not path.exists():
        return build()
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: entry.file_size for entry in archive.infolist()}
    return Archive(path.stem, path, files, path.stat().st_size)


def _digest() -> str:
    """Names what the shared layers are built from: their locks, and the code that builds them."""
    sources = [LOCKS / "run.txt", LOCKS / "web.txt", *sorted(Path(runtime.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
