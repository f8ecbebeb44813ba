"""The models that the local server serves: the live version of each that service.toml names.

What is live is looked up again every second by a background task, so that `payphone model
promote` takes effect without a restart. A version that can't be loaded never replaces one that
answers; a model with nothing to fall back on is out of service, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from functions.calls.problems import Problem
from functions.inference import engine
from models.manifest import ManifestError
from models.registry import Registry

log = logging.getLogger("payphone.models")


class _Served(NamedTuple):
    version: str
    model: engine.Model | None
    fault: str  # why the version that is live now could not be loaded


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
        """Load what has become live since, and try again what could not be loaded."""
        for name in self._wanted:
            served = self._served.get(name)
            try:
                live = self._registry.live(name)
                if live is None or (served is not None and (served.version, served.fault) == (live, "")):
                    continue
                manifest = self._registry.manifest(name, live)
                model = engine.load(manifest, partial(self._registry.read, manifest))
            except (engine.ModelLoadError, ManifestError, KeyError, OSError) as error:
                kept = served.model if served else None
                if served is None or served.fault != str(error):  # once, not every second
                    log.error("%s is refused: %s", name, error)
                self._served[name] = _Served(served.version if served else "", kept, str(error))
            else:
                log.info("%s version %s is live", name, live)
                self._served[name] = _Served(live, model, "")
