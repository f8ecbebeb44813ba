"""The models that the local server serves: the live version of each that service.toml names.

What is live is looked up again every second by a background task, so that `payphone model
promote` takes effect without a restart. A version that can't be loaded never replaces one that
answers; a model with nothing to fall back on is out of service, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from functions.calls.problems import Problem
from functions.inference import engine
from models.manifest import ManifestError
from models.registry import Registry, UnknownModel

log = logging.getLogger("payphone.models")


class _Served(NamedTuple):
    version: str  # the live version that was last looked at, loaded or not
    model: engine.Model | None


class ServedModels:
    """Loaded models by name. `refresh` may run in another thread: it only ever swaps whole entries."""

    def __init__(self, registry: Registry, names: Sequence[str]) -> None:
        self._registry = registry
        self._wanted = names
        self._served: dict[str, _Served] = {}

    def names(self) -> list[str]:
        """Names of the models that have a live version, in service or not."""
        return list(self._served)

    def get(self, name: str) -> engine.Model | None:
        """The loaded model, None if there is none of this name; Problem if it could not be loaded."""
        served = self._served.get(name)
        if served is None:
            return None
        if served.model is None:
            raise Problem("model-unavailable", f"{name} could not be loaded; its operator was told.")
        return served.model

    def refresh(self) -> None:
        """Load what has become live since."""
        for name in self._wanted:
            live = self._registry.live(name)
            served = self._served.get(name)
            if live is not None and (served is None or served.version != live):
                model = self._load(name, live)
                kept = model or (served.model if served else None)
                self._served[name] = _Served(live, kept)

    def _load(self, name: str, version: str) -> engine.Model | None:
        try:
            manifest = self._registry.manifest(name, version)
            model = engine.load(manifest, lambda file: self._registry.read(manifest, file))
        except (engine.ModelLoadError, ManifestError, UnknownModel) as error:
            log.error("%s version %s is refused: %s", name, version, error)
            return None
        log.info("%s version %s is live", name, version)
        return model
