"""Seals: a customer's UTC day in one object that no longer changes, with its count and root hash.

    seals/2026-11/2026-11-23/<customer>.json.gz   the live rows of the day, their count and root
    seals/index/2026-11/2026-11-23.json           every customer's count and root; written last, it seals
    seals/index/2026-11.json                      the month: all its days are sealed and the ledger agrees

A day can be sealed once nothing may change any more: 24 hours after its end the last replay has come, and
three more are left for the stream. Invoices and usage then read the seal and the day's objects no
more, so what came later than that is not billed: the month's count shows it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from functions.metering.archive import Archive, ArchiveDamaged, day_start, row_from
from functions.metering.canonical import canonical_row
from functions.metering.event import LIVE, UsageEvent
from functions.metering.ledger import REPLAY_WINDOW_MS
from functions.metering.merkle import root_hash
from models.store import AlreadyStored, NotInStore

SEALS = "seals/"
INDEX = "seals/index/"
SETTLED_MS = REPLAY_WINDOW_MS + 3 * 3600 * 1000


class Sealed(NamedTuple):
    """What a day's seal says of one customer: live rows and the root over them, in hex."""

    rows: int
    root: str


class DaySeal(NamedTuple):
    """One sealed day. `void` counts the calls of all customers that were taken back."""

    day: str
    customers: dict[str, Sealed]
    void: int

    @property
    def rows(self) -> int:
        """How many rows of this day the ledger should hold."""
        return self.void + sum(sealed.rows for sealed in self.customers.values())


class Seals:
    """Makes and reads the seals of one archive."""

    def __init__(self, archive: Archive) -> None:
        """Seals lie in the archive's own bucket."""
        self._archive = archive
        self._bucket = archive.bucket

    def due(self, now_ms: int) -> list[str]:
        """Days that have objects, have settled and are not sealed yet, oldest first."""
        sealed = self.days("")
        return [day for day in self._archive.days() if settled(day, now_ms) and day not in sealed]

    def seal(self, day: str) -> DaySeal:
        """Seal a day that has settled. What an earlier run has left half-made is made anew."""
        live: dict[str, list[UsageEvent]] = {}
        void = 0
        for row in self._archive.merged(self._archive.objects(day)):
            if row.state == LIVE:
                live.setdefault(row.customer, []).append(row)
            else:
                void += 1
        sealed = {customer: self._write(day, customer, rows) for customer, rows in sorted(live.items())}
        seal = DaySeal(day, sealed, void)
        document = {"day": day, "void": void, "customers": {c: s._asdict() for c, s in sealed.items()}}
        self._bucket.put(_index_name(day), json.dumps(document, indent=1).encode())
        return seal

    def days(self, month: str) -> set[str]:
        """The days of a month ("2026-11", or "" for all) that are sealed."""
        names = (name.removeprefix(INDEX) for name in self._bucket.list(f"{INDEX}{month}"))
        return {name.partition("/")[2].removesuffix(".json") for name in names if "/" in name}

    def day(self, day: str) -> DaySeal:
        """Read a day's seal; NotInStore if it is not sealed, ArchiveDamaged."""
        name = _index_name(day)
        try:
            found = json.loads(self._bucket.get(name))
            customers = {c: Sealed(int(s["rows"]), str(s["root"])) for c, s in found["customers"].items()}
            return DaySeal(found["day"], customers, int(found["void"]))
        except NotInStore:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArchiveDamaged(f"{name} is no seal: restore its first version") from error

    def rows(self, seals: Iterable[DaySeal], customer: str | None = None) -> list[UsageEvent]:
        """The rows of sealed days, of one customer or of all; ArchiveDamaged where a seal is broken."""
        wanted = [
            (name, of, sealed)
            for seal in seals
            for of, sealed in seal.customers.items()
            if customer in (None, of)
            for name in [_seal_name(seal.day, of)]
        ]
        found: list[UsageEvent] = []
        contents = self._bucket.get_each(name for name, _, _ in wanted)
        for (name, of, sealed), data in zip(wanted, contents, strict=True):
            found += _verified(name, of, sealed, data)
        return found

    def month(self, month: str) -> dict[str, Any] | None:
        """What is written of a sealed month, None if it is not sealed."""
        try:
            document: dict[str, Any] = json.loads(self._bucket.get(f"{INDEX}{month}.json"))
        except NotInStore:
            return None
        return document

    def seal_month(self, month: str, counts: Mapping[str, int], expires_at: int) -> dict[str, int]:
        """Seal a month if the ledger's rows by day are as many as its seals hold.

        Gives the days that disagree, with how many rows the ledger has more than the seal (or fewer,
        below zero); nothing is written unless there are none. `expires_at` (seconds since 1970 UTC) is
        when the ledger's copies go.
        """
        seals = {day: self.day(day) for day in sorted(self.days(month))}
        surplus = {
            day: counts.get(day, 0) - (seals[day].rows if day in seals else 0)
            for day in sorted(counts.keys() | seals.keys())
        }
        wrong = {day: rows for day, rows in surplus.items() if rows}
        if not wrong:
            document = {
                "month": month,
                "expires_at": expires_at,
                "days": {day: seal.rows for day, seal in seals.items()},
            }
            self._bucket.put(f"{INDEX}{month}.json", json.dumps(document, indent=1).encode())
        return wrong

    def _write(self, day: str, customer: str, rows: list[UsageEvent]) -> Sealed:
        sealed = Sealed(len(rows), root_hash(map(canonical_row, rows)).hex())
        document = {
            "day": day,
            "customer": customer,
            "count": sealed.rows,
            "root": sealed.root,
            "rows": [row._asdict() for row in rows],
        }
        data = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
        name = _seal_name(day, customer)
        try:
            self._bucket.put(name, data)
        except AlreadyStored:  # by a run that got no further: without its index it holds nothing
            self._bucket.swap(name, data, expected=self._bucket.get(name))
        return sealed


def settled(day: str, now_ms: int) -> bool:
    """Whether no row of the day can change any more."""
    return now_ms >= day_start(day) + 24 * 3600 * 1000 + SETTLED_MS


def _verified(name: str, customer: str, sealed: Sealed, data: bytes) -> list[UsageEvent]:
    try:
        rows = [row_from(document) for document in json.loads(gzip.decompress(data))["rows"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(f"{name} can't be read ({error}): restore its first version") from error
    same = Sealed(len(rows), root_hash(map(canonical_row, rows)).hex()) == sealed
    if not same or any(row.customer != customer or row.state != LIVE for row in rows):
        raise ArchiveDamaged(f"{name} is not what was sealed: restore its first version")
    return rows


def _index_name(day: str) -> str:
    return f"{INDEX}{day[:7]}/{day}.json"


def _seal_name(day: str, customer: str) -> str:
    return f"{SEALS}{day[:7]}/{day}/{customer}.json.gz"
