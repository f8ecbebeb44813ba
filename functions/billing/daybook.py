"""The daybook: what invoices are computed from, a UTC day's live rows of all customers in one Parquet file.

    rows/2026-11-23/<stamp>.json       the day: its file, and each customer's count and Merkle root
    rows/2026-11-23/<sha256>.parquet   the rows, by customer, then (started_at, call_id)

A day is written once for each state it was read in (`StampedReader.stamps`) and never changed; its file is
named by its SHA-256, which is looked at before anything is read from it. Writing a day takes some
10 microseconds a row, in Python, for its roots are computed row by row as seals compute them. That is
done as days pass. Reading one takes DuckDB, and little time.

Source: RFC 9162, section 2.1, for the root; https://parquet.apache.org/docs/file-format/ for the file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import file_digest
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from functions.billing.columns import Columns, TamperedRows
from functions.metering.canonical import canonical_row
from functions.metering.event import UsageEvent
from functions.metering.merkle import root_hash
from functions.metering.usage import StampedReader, days_of
from models.store import AlreadyStored, LocalStore, NotInStore, Store

ROWS = "rows/"
GLOB = {*"*?["}  # what DuckDB takes for a pattern in a file's name


class Entry(NamedTuple):
    """One customer's day: how many rows, and the Merkle root over them in hex."""

    rows: int
    root: str


class Day(NamedTuple):
    """One day as it was read in one state. `late` days hold only what came after their month was closed."""

    day: str
    stamp: str
    sha256: str
    late: bool
    customers: Mapping[str, Entry]

    @property
    def file(self) -> str:
        """The name of its Parquet file."""
        return f"{ROWS}{self.day}/{self.sha256}.parquet"


class Daybook:
    """Writes and reads the days in a Store."""

    def __init__(self, store: Store) -> None:
        """Keep days in `store`, under rows/."""
        self._store = store
        self._fetched: tempfile.TemporaryDirectory[str] | None = None
        self._checked: dict[Path, tuple[int, int, int]] = {}

    def write(self, usage: StampedReader, start: int, end: int) -> list[Day]:
        """The days of a span that have rows, oldest first; writes those that are not there in their state."""
        stamps = usage.stamps(start, end)
        days: list[Day] = []
        for day, since, until in days_of(start, end):
            if day in stamps:
                found = self.find(day, stamps[day])
                days.append(found or self._write(day, stamps[day], usage.rows(since, until)))
        return [day for day in days if day.customers]

    def write_late(
        self, usage: StampedReader, start: int, end: int, known: Collection[Day], month: str
    ) -> list[Day]:
        """Days of a closed span with what came after closing, for the invoices of `month`.

        `known` are the days that were billed or left out before.
        """
        stamps = usage.stamps(start, end)
        days: list[Day] = []
        for day, since, until in days_of(start, end):
            before = [each for each in known if each.day == day]
            if day not in stamps or stamps[day] in {each.stamp for each in before}:
                continue
            settled = self.calls(before)
            rows = (row for row in usage.rows(since, until) if row.call_id not in settled)
            days.append(self._write(day, stamps[day], rows, f"-late-{month}"))
        return [day for day in days if day.customers]

    def find(self, day: str, stamp: str, late: str = "") -> Day | None:
        """A day in one of its states, None if it was not written; `late` is the month it is late for."""
        try:
            text = self._store.get(f"{ROWS}{day}/{stamp}{f'-late-{late}' if late else ''}.json")
        except NotInStore:
            return None
        said = json.loads(text)
        customers = {customer: Entry(*entry) for customer, entry in said["customers"].items()}
        return Day(day, stamp, said["sha256"], bool(late), customers)

    def read(self, days: Iterable[Day], without: Collection[str] = ()) -> Columns:
        """Usage of days, less some calls. TamperedRows where a file is not what it was."""
        return Columns([self._path(day) for day in days if day.customers], without)

    def calls(self, days: Iterable[Day]) -> set[str]:
        """The ids of the calls of days."""
        return self.read(days).calls()

    def _write(self, day: str, stamp: str, rows: Iterator[UsageEvent], late: str = "") -> Day:
        with tempfile.TemporaryDirectory() as folder:
            lines, parquet = Path(folder, "rows.jsonl"), Path(folder, "rows.parquet")
            with lines.open("wb") as file:
                file.writelines(map(canonical_row, _in_order(rows)))
            Columns.write(lines, parquet)
            customers = {
                customer: _entry(of_customer)
                for customer, of_customer in groupby(Columns([parquet]).by_customer(), lambda r: r.customer)
            }
            with parquet.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            made = Day(day, stamp, digest, bool(late), customers)
            self._put(made.file, parquet.read_bytes())
        said = {"day": day, "sha256": digest, "customers": customers}
        self._put(f"{ROWS}{day}/{stamp}{late}.json", json.dumps(said, separators=(",", ":")).encode())
        return made

    def _put(self, name: str, data: bytes) -> None:
        try:
            self._store.put(name, data)
        except AlreadyStored:
            return

    def _path(self, day: Day) -> Path:
        """The day's file on this machine, whose hash was looked at since it was last written."""
        if isinstance(self._store, LocalStore) and not GLOB & {*str(self._store.root)}:
            path = self._store.root / day.file
        else:
            self._fetched = self._fetched or tempfile.TemporaryDirectory()
            path = Path(self._fetched.name, f"{day.sha256}.parquet")
            if not path.exists():
                path.write_bytes(self._store.get(day.file))
        try:
            state = _state(path)
            if self._checked.get(path) != state:
                with path.open("rb") as file:
                    if file_digest(file, "sha256").hexdigest() != day.sha256:
                        raise TamperedRows(f"{day.file} was changed: restore it from a backup")
                self._checked[path] = state
        except OSError as error:
            raise TamperedRows(f"{day.file} can't be read: {error.strerror}") from None
        return path


def _state(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)  # noqa: PTH116 - one call for all three
    return found.st_ino, found.st_size, found.st_mtime_ns


def _in_order(rows: Iterable[UsageEvent]) -> Iterator[UsageEvent]:
    """The rows; ValueError where one comes doubled or out of order, as from a broken reader."""
    last = (0, "")
    for row in rows:
        if (row.started_at, row.call_id) <= last:
            raise ValueError(
                f"ledger rows come doubled or out of order at call {row.call_id}: nothing is billed"
            )
        last = (row.started_at, row.call_id)
        yield row


def _entry(rows: Iterable[UsageEvent]) -> Entry:
    count = 0

    def counted() -> Iterator[bytes]:
        nonlocal count
        for row in rows:
            count += 1
            yield canonical_row(row)

    root = root_hash(counted()).hex()
    return Entry(count, root)
