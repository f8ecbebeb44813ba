"""One published model version as a layer of its own: data only, read at /opt/payphone/<name>/.

    payphone/<name>/manifest.json    payphone/<name>/model.tflite    payphone/<name>/…

No code, no Python version, no CPU: the same layer serves any function.
"""

from __future__ import annotations

from pathlib import Path

from layers.archive import Archive, write
from models.manifest import MANIFEST_FILE, verify
from models.registry import Registry


def build(registry: Registry, name: str, version: str, folder: Path) -> Archive:
    """Write `model-<name>-<version>.zip`; UnknownModel, or ManifestError if a file is not what it was."""
    manifest = registry.manifest(name, version)
    files = {ref.name: verify(ref, registry.read(manifest, ref.name)) for ref in manifest.files}
    inside = {MANIFEST_FILE: manifest.to_json(), **files}
    placed = {f"payphone/{name}/{file}": data for file, data in inside.items()}
    return write(f"model-{name}-{manifest.version}", placed, folder)
