"""What the routers are given to work with; whoever wires the app (server, handler) makes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from functions.access.keys import KeyRecord
from functions.billing.books import Books
from functions.billing.plans import PlanBook
from functions.calls.dialect import ModelView
from functions.calls.limits import Limits
from functions.metering.accounts import Accounts
from functions.metering.proofs import Proofs
from functions.metering.usage import UsageReader


class Catalog(Protocol):
    """The models served here."""

    def names(self) -> list[str]:
        """Names of the models that have a live version."""

    def get(self, name: str) -> ModelView | None:
        """The live version, or None; Problem if it is out of service."""


@dataclass(frozen=True)
class Context:
    """The parts behind the API.

    `identify` gives the record of the key that came with a request, usable or not, None for none of
    ours; `keys_of` a customer's records. Both raise LookupUnavailable where they can't know.
    `name_of` gives a customer's name for an invoice, "" where it is not known here.
    """

    identify: Callable[[Request], KeyRecord | None]
    keys_of: Callable[[str], Sequence[KeyRecord]]
    catalog: Catalog
    usage: UsageReader
    proofs: Proofs
    accounts: Accounts
    book: PlanBook
    limits: Limits | None
    now_ms: Callable[[], int]
    version: str
    books: Books
    name_of: Callable[[str], str] = lambda customer: ""
