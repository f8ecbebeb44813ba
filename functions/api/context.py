"""What the routers are given to work with; whoever wires the app (server, handler) makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from functions.access.keys import KeyFinder, KeyRecord
from functions.api.schemas import Price
from functions.calls.core import Limits
from functions.calls.dialect import ModelView
from functions.metering.usage import UsageReader


class Catalog(Protocol):
    """The models served here."""

    def names(self) -> list[str]:
        """Names of the models that have a live version."""

    def get(self, name: str) -> ModelView | None:
        """The live version, or None; Problem if it is out of service."""


@dataclass(frozen=True)
class Context:
    """The parts behind the API. `price` looks up a model's price on a key's plan."""

    keys: KeyFinder
    catalog: Catalog
    usage: UsageReader
    price: Callable[[KeyRecord, str], Price | None]
    limits: Limits | None
    now_ms: Callable[[], int]
    version: str
