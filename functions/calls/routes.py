"""Which paths are the core's, and what each asks."""

from __future__ import annotations

from functions.calls import v1, v2
from functions.calls.dialect import Dialect
from models.functional import lru_cache
from models.typed import NamedTuple

PREDICT = "predict"
METADATA = "metadata"
READY = "ready"

_V2_ACTIONS = {(): METADATA, ("ready",): READY, ("infer",): PREDICT}


class Route(NamedTuple):
    """Where a path leads. `version` is "" where the path names none."""

    dialect: Dialect
    model: str
    version: str
    action: str


@lru_cache(maxsize=256)  # a service has few addresses, and each call asks twice
def route(path: str) -> Route | None:
    """Read the path of a model; None for a path that is not one of the core's.

    /v1/models/{m}/predict, /v2/models/{m}[/versions/{v}][/ready | /infer]
    """
    parts = path.split("/")
    if len(parts) == 5 and parts[1:3] == ["v1", "models"] and parts[4] == PREDICT:
        return Route(v1, parts[3], "", PREDICT)
    if len(parts) < 4 or parts[1:3] != ["v2", "models"] or not parts[3]:
        return None
    name, rest, version = parts[3], parts[4:], ""
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    action = _V2_ACTIONS.get(tuple(rest))
    return Route(v2, name, version, action) if action else None
