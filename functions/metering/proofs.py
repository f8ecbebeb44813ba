"""Proofs for customers: that a call's row is in the seal of its day, and hence what the receipt said.

A proof shows the row (with its nonce, so that anyone can hash it), its place in the tree, the path up to the
root, and the signed head. It needs nothing else of ours to be checked: functions/billing/verify.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from functions.metering.canonical import BILLED_FIELDS, canonical_row, receipt_of
from functions.metering.event import LIVE, UsageEvent
from functions.metering.heads import Head, PublicKey
from functions.metering.merkle import Tree, leaf_hash
from functions.metering.seals import Seals, settles_at
from functions.metering.usage import day_of

KEPT_TREES = 4  # what one customer asks for, call after call, is of the same few days

LookUp = Callable[[str], UsageEvent | None]


class Pending(NamedTuple):
    """A billed call whose day is not sealed yet, but from `sealed_after` (milliseconds since 1970) on."""

    call_id: str
    receipt: str
    sealed_after: int


class Proof(NamedTuple):
    """A sealed call, the `place`-th of its tree, from 0. `path` has the siblings on the way up."""

    row: UsageEvent
    place: int
    path: list[bytes]
    head: Head

    def document(self) -> dict[str, Any]:
        """For JSON; `row` in its canonical form is what the receipt is the hash of."""
        fields = (name for name in BILLED_FIELDS if name != "nonce" or self.row.nonce)
        return {
            "status": "sealed",
            "call_id": self.row.call_id,
            "receipt": receipt_of(self.row),
            "row": {name: getattr(self.row, name) for name in fields},
            "index": self.place,
            "path": [node.hex() for node in self.path],
            "seal": self.head.document(),
        }


class Proofs:
    """Finds calls in seals. Threads may share it."""

    def __init__(self, seals: Seals, look_up: LookUp) -> None:
        """`look_up` finds a call's row in the ledger, for calls that are not sealed yet."""
        self._seals, self._look_up = seals, look_up
        self._sealed = lru_cache(maxsize=KEPT_TREES)(self._read)

    def find(self, customer: str, call_id: str, day: str | None = None) -> Proof | Pending | None:
        """A customer's call, by its id and, where the ledger may have let it go, its UTC day.

        None where there is no such call, it is another customer's, or it was taken back.
        """
        row = None
        if day is None:
            row = self._mine(customer, call_id)
            if row is None:
                return None
            day = day_of(row.started_at)
        proof = self._proof(customer, call_id, day)
        row = row if proof else row or self._mine(customer, call_id)
        if proof or row is None or row.state != LIVE:
            return proof
        return Pending(call_id, receipt_of(row), settles_at(day_of(row.started_at)))

    def sealing_keys(self) -> list[PublicKey]:
        """The public keys that seals were ever signed with."""
        return sorted(self._seals.keys().values())

    def _mine(self, customer: str, call_id: str) -> UsageEvent | None:
        row = self._look_up(call_id)
        return row if row and row.customer == customer else None

    def _proof(self, customer: str, call_id: str, day: str) -> Proof | None:
        for seal in self._seals.of_day(day):
            head = seal.customers.get(customer)
            if head:
                rows, places, tree = self._sealed(head)
                if (index := places.get(call_id)) is not None:
                    return Proof(rows[index], index, tree.path(index), head)
        return None

    def _read(self, head: Head) -> tuple[list[UsageEvent], dict[str, int], Tree]:
        rows = self._seals.rows([self._seals.day(head.seal)], head.customer)
        places = {row.call_id: place for place, row in enumerate(rows)}
        return rows, places, Tree([leaf_hash(canonical_row(row)) for row in rows])
