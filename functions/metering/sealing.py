"""Making seals: the rows of a day, by customer, under a root that is signed and then never changes.

A seal holds once its index is written, by one write that fails if there is one. So a crash leaves a seal or
none, and of two who seal at once one has sealed and the other looks again.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from functions.metering.canonical import canonical_row
from functions.metering.event import LIVE, UsageEvent
from functions.metering.heads import Head, PublicKey, encoded, invoice_signed
from functions.metering.merkle import leaf_hash, root_hash
from functions.metering.seals import DaySeal, Seals, index_name, object_name, settled
from models.store import AlreadyStored


class Signer(Protocol):
    """The one who signs; functions/metering/signing.py and kms.py have the real ones."""

    @property
    def key(self) -> PublicKey:
        """The public half."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""


class DayCalls(Protocol):
    """Where the rows to seal come from: the archive, or the ledger of this machine."""

    def days(self) -> Sequence[str]:
        """The days that have rows, oldest first."""

    def calls(self, day: str) -> Iterable[UsageEvent]:
        """The calls of a day, each once in its last state, void ones too, by (started_at, call_id)."""


def due(seals: Seals, rows: DayCalls, now_ms: int) -> list[str]:
    """Days that have rows, have settled and are not sealed yet, oldest first."""
    sealed = {*seals.names("")}
    return [day for day in rows.days() if settled(day, now_ms) and day not in sealed]


class Sealer:
    """Makes the seals of one store."""

    def __init__(self, seals: Seals, rows: DayCalls, signer: Signer) -> None:
        """Seal what `rows` has."""
        self._seals, self._rows, self._signer = seals, rows, signer

    def publish_key(self) -> PublicKey:
        """Publish the key that signs, if it is not; gives it with who vouches for it."""
        self._seals.publish(self._signer.key)
        return self._seals.keys()[self._signer.key.id]

    def sign_invoice(self, document: Mapping[str, Any]) -> dict[str, str]:
        """What an invoice carries as "signed"."""
        return {"key": self._signer.key.id, "signature": encoded(self._signer.sign(invoice_signed(document)))}

    def due(self, now_ms: int) -> list[str]:
        """Days that have rows, have settled and are not sealed yet, oldest first."""
        return due(self._seals, self._rows, now_ms)

    def seal(self, day: str) -> DaySeal:
        """Seal a day that has settled, or what is not sealed of it yet."""
        live, void = self._by_customer(day, None)
        with suppress(AlreadyStored):
            return self._write(day, live, void)
        return self._seals.day(day)

    def add(self, day: str, wanted: Mapping[str, Collection[bytes]]) -> DaySeal | None:
        """Seal rows of a day that are billed before it has settled, or came later than its seal.

        `wanted` has their leaf hashes by customer; None if all of them are sealed, or there are none.
        """
        while True:
            live, _ = self._by_customer(day, wanted)
            if not live:
                return None
            number = sum(len(name) > len(day) for name in self._seals.names(day[:7]) if name[:10] == day) + 1
            with suppress(AlreadyStored):
                return self._write(f"{day}.{number}", live, 0)

    def _by_customer(
        self, day: str, wanted: Mapping[str, Collection[bytes]] | None
    ) -> tuple[dict[str, list[UsageEvent]], int]:
        """Live rows that no seal of the day holds, and how many are void."""
        earlier = self._seals.rows(self._seals.of_day(day))
        sealed = {leaf_hash(canonical_row(row)) for row in earlier}
        live: dict[str, list[UsageEvent]] = {}
        void = 0
        for row in self._rows.calls(day):
            if row.state != LIVE:
                void += 1
                continue
            leaf = leaf_hash(canonical_row(row))
            if leaf not in sealed and (wanted is None or leaf in wanted.get(row.customer, ())):
                live.setdefault(row.customer, []).append(row)
        return live, void

    def _write(self, name: str, live: Mapping[str, list[UsageEvent]], void: int) -> DaySeal:
        self.publish_key()
        heads = {customer: self._sign(name, customer, rows) for customer, rows in sorted(live.items())}
        for customer, head in heads.items():
            document = {**head.document(), "rows": [row._asdict() for row in live[customer]]}
            data = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
            with suppress(AlreadyStored):  # by a run that got no further: the name says what is in it
                self._seals.store.put(object_name(head), data)
        entries = {customer: head.document() for customer, head in heads.items()}
        index = {"seal": name, "day": name[:10], "void": void, "customers": entries}
        self._seals.store.put(index_name(name), json.dumps(index, indent=1).encode())
        return DaySeal(name, heads, void)

    def _sign(self, name: str, customer: str, rows: list[UsageEvent]) -> Head:
        root = root_hash(map(canonical_row, rows)).hex()
        head = Head(name, customer, len(rows), root, self._signer.key.id)
        return head._replace(signature=encoded(self._signer.sign(head.signed())))
