"""The catalog of the control plane: models as their manifests describe them, without an engine.

Which version is live is looked up again every few seconds. A version's manifest never changes; with it
come the files of its preprocessing, which say what a caller gives, but not the model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from functions.preprocess.kinds import make_preprocessor
from models.manifest import Manifest, TensorSpec, verify
from models.registry import Registry

FRESH_SECONDS = 5.0


class Described(NamedTuple):
    """A model version as its callers see it. Implements ModelView."""

    manifest: Manifest
    inputs: tuple[TensorSpec, ...]
    forms: Sequence[tuple[TensorSpec, ...]]
    takes_missing: bool


class PublishedModels:
    """The live versions of the models that are served, in a registry. Threads may share it."""

    def __init__(self, registry: Registry, served: Sequence[str]) -> None:
        self._registry = registry
        self._served = served
        self._live: dict[str, tuple[float, str | None]] = {}
        self._described: dict[tuple[str, str], Described] = {}

    def names(self) -> list[str]:
        """Names of the models that have a live version."""
        return [name for name in self._served if self._version(name)]

    def get(self, name: str) -> Described | None:
        """The live version, or None."""
        version = self._version(name) if name in self._served else None
        if version is None:
            return None
        found = self._described.get((name, version))
        if found is None:
            found = self._described[name, version] = self._describe(name, version)
        return found

    def _version(self, name: str) -> str | None:
        at, version = self._live.get(name, (0.0, None))
        if not 0 <= time.time() - at < FRESH_SECONDS:
            version = self._registry.live(name)
            self._live[name] = (time.time(), version)
        return version

    def _describe(self, name: str, version: str) -> Described:
        manifest = self._registry.manifest(name, version)
        preprocess = manifest.preprocess
        files = {ref.name: verify(ref, self._registry.read(manifest, ref.name)) for ref in preprocess.files}
        made = make_preprocessor(preprocess, files, manifest.signatures["predict"])
        forms = (made.inputs, *getattr(made, "alternatives", ()))
        return Described(manifest, made.inputs, forms, getattr(made, "takes_missing", False))
