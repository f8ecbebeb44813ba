"""Usage in Parquet files, read by DuckDB: millions of rows counted in seconds, within bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functions.metering.canonical import BILLED_FIELDS
from functions.metering.event import LIVE, UsageEvent
from functions.metering.usage import UsageBucket

if TYPE_CHECKING:
    import duckdb

MEMORY = "256MB"
"""What DuckDB may hold; beyond it sorts go through a temporary folder."""
FETCHED = 10_000
_NUMBERS = ("units", "bytes_in", "started_at")
_NAMES = [name for name in UsageEvent._fields if name in BILLED_FIELDS]  # call_id first, nonce last
_FIELDS = ", ".join(_NAMES)
_COLUMNS = ", ".join(f"{name}: '{'BIGINT' if name in _NUMBERS else 'VARCHAR'}'" for name in BILLED_FIELDS)


class TamperedRows(ValueError):
    """Kept rows are not those an invoice was computed from."""


class Columns:
    """Implements UsageReader over files of live rows, a call in one of them. Rows come without attempts."""

    def __init__(self, files: Sequence[Path], without: Collection[str] = ()) -> None:
        """Read `files`, less the calls in `without`."""
        self._files = [str(file) for file in files]
        self._without = sorted(without)

    @staticmethod
    def write(lines: Path, parquet: Path) -> None:
        """Make a Parquet file of canonical rows (JSON lines), by customer, then (started_at, call_id)."""
        # Nothing but constants of this file enters the text of a statement.
        _database().execute(
            f"""COPY (FROM read_json(?, format = 'newline_delimited', columns = {{{_COLUMNS}}})
                      SELECT * REPLACE (coalesce(nonce, '') AS nonce) ORDER BY customer, started_at, call_id)
                TO '{_quoted(parquet)}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20_000)""",
            [str(lines)],
        )

    def rows(
        self, start: int, end: int, customer: str | None = None, *, among: Collection[str] | None = None
    ) -> Iterator[UsageEvent]:
        """Rows of a span in the order of (started_at, call_id)."""
        where, values = _where(start, end, customer, among)
        yield from self._read(f"{where} ORDER BY started_at, call_id", values)

    def by_customer(self) -> Iterator[UsageEvent]:
        """All rows in the order of (customer, started_at, call_id)."""
        yield from self._read("ORDER BY customer, started_at, call_id", [])

    def calls(self) -> set[str]:
        """The ids of all calls."""
        return {call for (call,) in self._query("SELECT call_id", "", [])}

    def buckets(self, start: int, end: int, customer: str | None = None) -> list[UsageBucket]:
        """Calls and units of a span."""
        where, values = _where(start, end, customer, None)
        select = """SELECT customer, plan, model, version, kind,
                    strftime(make_date((started_at // 86_400_000)::INTEGER), '%Y-%m-%d'),
                    count(*), sum(units)::BIGINT, min(started_at)"""
        rows = self._query(select, f"{where} GROUP BY ALL ORDER BY ALL", values)
        return [UsageBucket(*row) for row in rows]

    def _read(self, tail: str, values: list[Any]) -> Iterator[UsageEvent]:
        for row in self._query(f"SELECT {_FIELDS}", tail, values):
            yield UsageEvent._make((row[0], (), *row[1:-1], "", LIVE, 1, row[-1]))

    def _query(self, select: str, tail: str, values: list[Any]) -> Iterator[tuple[Any, ...]]:
        if not self._files:
            return
        anti = "ANTI JOIN (SELECT unnest(?::VARCHAR[]) AS call_id) USING (call_id)" if self._without else ""
        given = [self._files, *([self._without] if self._without else []), *values]
        result = _database().execute(f"{select} FROM read_parquet(?) {anti} {tail}", given)
        while found := result.fetchmany(FETCHED):
            yield from found


def _where(
    start: int, end: int, customer: str | None, among: Collection[str] | None
) -> tuple[str, list[Any]]:
    where = "WHERE started_at >= ? AND started_at < ?"
    values: list[Any] = [start, end]
    if customer is not None:
        where, values = f"{where} AND customer = ?", [*values, customer]
    if among is not None:
        where, values = f"{where} AND list_contains(?::VARCHAR[], customer)", [*values, [*among]]
    return where, values


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _database() -> duckdb.DuckDBPyConnection:
    """A cursor of the process's one database in memory, made when first needed."""
    return _opened().cursor()


_SPILLED = tempfile.TemporaryDirectory(prefix="payphone-")


@cache
def _opened() -> duckdb.DuckDBPyConnection:
    import duckdb  # tens of milliseconds, which only reading many rows is worth

    return duckdb.connect(
        config={
            "memory_limit": MEMORY,
            "temp_directory": _SPILLED.name,
            "autoinstall_known_extensions": False,  # nothing is fetched from the network
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        }
    )
