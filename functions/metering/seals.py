"""Seals: a customer's UTC day in one object that no longer changes, with its count and its signed root.

    seals/2026-11/2026-11-23/<customer>.<root>.json.gz   live rows of the day, their count, root and signature
    seals/index/2026-11/2026-11-23.json                  every customer's head; written last, it seals
    seals/index/2026-11.json                             the month: all its days are sealed, the ledger agrees
    seals/keys/<key id>.json                             the public keys that heads are signed with

A day has one seal, made once nothing in it can change any more: 24 hours after its end the last replay has
come, and three more are left for the stream. Only where a month is closed before that, or a row comes
later, are there further seals of the day, as 2026-11-23.1, which hold what was billed and not yet sealed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from functions.metering.archive import ArchiveDamaged, row_from
from functions.metering.canonical import canonical_row
from functions.metering.event import LIVE, UsageEvent
from functions.metering.heads import Head, PublicKey
from functions.metering.ledger import REPLAY_WINDOW_MS
from functions.metering.merkle import root_hash
from functions.metering.usage import DAY_MS, day_start
from models.store import AlreadyStored, NotInStore, Store
from models.typed import Protocol

SEALS = "seals/"
INDEX = "seals/index/"
KEYS = "seals/keys/"
SETTLED_MS = REPLAY_WINDOW_MS + 3 * 3600 * 1000


class SealStore(Store, Protocol):
    """Where seals lie: the archive's bucket, or the state folder."""

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Read many objects, in their order; NotInStore."""


class DaySeal(NamedTuple):
    """One seal of a day. `void` counts the calls of all customers that were taken back."""

    name: str
    customers: dict[str, Head]
    void: int

    @property
    def day(self) -> str:
        """The UTC day."""
        return self.name[:10]

    @property
    def rows(self) -> int:
        """How many rows of this day the ledger should hold, as far as this seal knows."""
        return self.void + sum(head.size for head in self.customers.values())


class Seals:
    """Reads the seals of one store; functions/metering/sealing.py makes them."""

    def __init__(self, store: SealStore) -> None:
        """Read from `store`."""
        self.store = store

    def names(self, month: str) -> list[str]:
        """All seals of a month ("2026-11", or "" for all), by name."""
        names = (name.removeprefix(INDEX) for name in self.store.list(f"{INDEX}{month}"))
        return sorted(name.partition("/")[2].removesuffix(".json") for name in names if "/" in name)

    def days(self, month: str) -> set[str]:
        """The days that one seal holds whole, so that nothing else need be read of them."""
        names = self.names(month)
        several = {name[:10] for name in names if len(name) > 10}
        return {name for name in names if len(name) == 10} - several

    def of_day(self, day: str) -> list[DaySeal]:
        """All seals of one day."""
        names = self.store.list(f"{INDEX}{day[:7]}/{day}")
        return [self.day(name.rpartition("/")[2].removesuffix(".json")) for name in names]

    def day(self, name: str) -> DaySeal:
        """Read one seal by its name; NotInStore if there is none, ArchiveDamaged."""
        data = self.store.get(index_name(name))
        try:
            found = json.loads(data)
            customers = {c: _head(name, c, said) for c, said in found["customers"].items()}
            return DaySeal(found["seal"], customers, int(found["void"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArchiveDamaged(f"{index_name(name)} is no seal: restore its first version") from error

    def rows(self, seals: Iterable[DaySeal], customer: str | None = None) -> list[UsageEvent]:
        """The rows of sealed days, of one customer or of all; ArchiveDamaged where a seal is broken."""
        heads = [head for seal in seals for of, head in seal.customers.items() if customer in (None, of)]
        contents = self.store.get_each(map(object_name, heads))
        return [row for head, data in zip(heads, contents, strict=True) for row in _verified(head, data)]

    def month(self, month: str) -> dict[str, Any] | None:
        """What is written of a sealed month, None if it is not sealed."""
        try:
            document: dict[str, Any] = json.loads(self.store.get(f"{INDEX}{month}.json"))
        except NotInStore:
            return None
        return document

    def seal_month(self, month: str, counts: Mapping[str, int], expires_at: int) -> dict[str, int]:
        """Seal a month if the ledger's rows by day are as many as its seals hold.

        Gives the days that disagree, with how many rows the ledger has more than the seal (or fewer,
        below zero); nothing is written unless there are none. `expires_at` (seconds since 1970 UTC) is
        when the ledger's copies go.
        """
        sealed: dict[str, int] = {}
        for seal in map(self.day, self.names(month)):
            sealed[seal.day] = sealed.get(seal.day, 0) + seal.rows
        surplus = {day: counts.get(day, 0) - sealed.get(day, 0) for day in sorted(counts.keys() | sealed)}
        wrong = {day: rows for day, rows in surplus.items() if rows}
        if not wrong:
            document = {"month": month, "expires_at": expires_at, "days": sealed}
            self.store.put(f"{INDEX}{month}.json", json.dumps(document, indent=1).encode())
        return wrong

    def keys(self) -> dict[str, PublicKey]:
        """The public keys that seals were ever signed with, by id."""
        names = self.store.list(KEYS)
        found = [PublicKey(**json.loads(data)) for data in self.store.get_each(names)]
        return {key.id: key for key in found}

    def publish(self, key: PublicKey) -> None:
        """Keep a public key for good."""
        try:
            self.store.put(f"{KEYS}{key.id}.json", json.dumps(key._asdict(), indent=1).encode())
        except AlreadyStored:
            return


def settled(day: str, now_ms: int) -> bool:
    """Whether no row of the day can change any more."""
    return now_ms >= settles_at(day)


def settles_at(day: str) -> int:
    """When that is, in milliseconds since 1970 UTC."""
    return day_start(day) + DAY_MS + SETTLED_MS


def index_name(name: str) -> str:
    """Where a seal's heads lie."""
    return f"{INDEX}{name[:7]}/{name}.json"


def object_name(head: Head) -> str:
    """Where a head's rows lie: named by what is in it, so that two writers never meet."""
    return f"{SEALS}{head.day[:7]}/{head.seal}/{head.customer}.{head.root[:16]}.json.gz"


def _head(name: str, customer: str, said: Mapping[str, Any]) -> Head:
    return Head(name, customer, int(said["count"]), str(said["root"]), said["key"], said["signature"])


def _verified(head: Head, data: bytes) -> list[UsageEvent]:
    name = object_name(head)
    try:
        rows = [row_from(document) for document in json.loads(gzip.decompress(data))["rows"]]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(f"{name} can't be read ({error}): restore its first version") from error
    same = len(rows) == head.size and root_hash(map(canonical_row, rows)).hex() == head.root
    if not same or any(row.customer != head.customer or row.state != LIVE for row in rows):
        raise ArchiveDamaged(f"{name} is not what was sealed: restore its first version")
    return rows
