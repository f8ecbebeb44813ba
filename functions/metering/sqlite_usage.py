"""Usage read from a ledger's file of this machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from functions.metering.event import LIVE, UsageEvent
from functions.metering.ledger import LedgerUnavailable
from functions.metering.sqlite_rows import READ, SCHEMA, decode
from functions.metering.usage import DAY_MS, UsageBucket, day_of, day_start, days_of
from functions.sqlite import UnusableDatabase, connect_to_read

_SPAN = f"""WHERE started_at >= :start AND started_at < :end AND state = '{LIVE}'
            AND (:customer IS NULL OR customer = :customer)
            AND (:among IS NULL OR customer IN (SELECT value FROM json_each(:among)))"""  # noqa: S608
_NEXT = "SELECT min(started_at) FROM call WHERE started_at >= ?"
_DAY = "WHERE started_at >= ? AND started_at < ? ORDER BY started_at, call_id"


class SqliteUsage:
    """Usage read from a ledger file, while servers may be writing it. Implements UsageReader.

    Any thread may use it. UnusableDatabase if there is no ledger at `path`; LedgerUnavailable if it
    can't be read later.
    """

    def __init__(self, path: str) -> None:
        """Open the file, read-only."""
        self._path = path
        self._lock = Lock()
        self._database = connect_to_read(path, SCHEMA)

    def rows(
        self, start: int, end: int, customer: str | None = None, *, among: Collection[str] | None = None
    ) -> Iterator[UsageEvent]:
        """Live rows of a span, all as of the first one; use the iterator up, or the log can't shrink."""
        span = _span(start, end, customer) | {"among": None if among is None else json.dumps([*among])}
        with self._readable(), closing(connect_to_read(self._path, SCHEMA)) as database:
            for row in database.execute(f"{READ} {_SPAN} ORDER BY started_at, call_id", span):
                yield decode(row)

    def buckets(self, start: int, end: int, customer: str | None = None) -> list[UsageBucket]:
        """Live calls and units of a span."""
        sql = f"""
            SELECT customer, plan, model, version, kind,
                   strftime('%Y-%m-%d', started_at / 1000, 'unixepoch'), count(*), sum(units), min(started_at)
            FROM call {_SPAN} GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"""  # noqa: S608
        with self._readable(), self._lock:
            rows = self._database.execute(sql, _span(start, end, customer))
            return [UsageBucket(*row) for row in rows]

    def stamps(self, start: int, end: int) -> dict[str, str]:
        """A day's rows and their highest rowid, as each write of a row gives it a new one; from an index."""
        sql = "SELECT count(*), max(rowid) FROM call WHERE started_at >= ? AND started_at < ?"
        with self._readable(), self._lock:
            execute = self._database.execute
            found = {day: execute(sql, span).fetchone() for day, *span in days_of(start, end)}
        return {day: f"{count}-{last}" for day, (count, last) in found.items() if count}

    def days(self) -> list[str]:
        """The UTC days that have calls, oldest first, found by leaping from one to the next."""
        found: list[str] = []
        with self._readable(), self._lock:
            start = 0
            while (row := self._database.execute(_NEXT, (start,)).fetchone()) and row[0] is not None:
                found.append(day_of(row[0]))
                start = (row[0] // DAY_MS + 1) * DAY_MS
        return found

    def calls(self, day: str) -> Iterator[UsageEvent]:
        """The calls of a day in their last state, void ones too. With `days` it implements DayCalls."""
        start = day_start(day)
        with self._readable(), closing(connect_to_read(self._path, SCHEMA)) as database:
            for row in database.execute(f"{READ} {_DAY}", (start, start + DAY_MS)):
                yield decode(row)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnusableDatabase) as error:
            raise LedgerUnavailable(f"{self._path} can't be read: {error}") from error


def _span(start: int, end: int, customer: str | None) -> dict[str, Any]:
    return {"start": start, "end": end, "customer": customer, "among": None}
