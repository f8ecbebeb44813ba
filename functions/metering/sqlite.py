"""The ledger of one machine: one SQLite file.

A row is on the disk before its ticket settles; one sync serves a whole group (`group.py`). Rows of
a group see each other, and a bad one fails alone. Any number of processes may use one file:
`BEGIN IMMEDIATE` lets in one group at a time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

from functions.metering.event import UsageEvent
from functions.metering.group import MAX_GROUP, GroupWriter, Notify
from functions.metering.ledger import Billed, Holds, LedgerUnavailable, Outcome, settle, voided
from functions.metering.sqlite_holds import GroupHolds
from functions.metering.sqlite_rows import INSERT, READ, ROW, SCHEMA, WRITE, decode, encode
from functions.metering.tickets import GroupTicket, Result
from functions.sqlite import BUSY_SECONDS, connect

log = logging.getLogger(__name__)


class _Void(NamedTuple):
    """Takes back what `attempt` was billed for. `doubtful` is a row that may be there unseen."""

    call_id: str
    attempt: str
    doubtful: UsageEvent | None = None


class _Held(NamedTuple):
    """An event that is billed only if its holds can be borne."""

    call_id: str
    event: UsageEvent
    holds: Holds


_Entry = UsageEvent | _Held | _Void


class SqliteLedger:
    """A ledger in one file. Implements Ledger; any thread may use it.

    `notify` gets one function per group, which runs the callbacks of all its tickets: by default
    the writer thread runs it; an asyncio server gives `loop.call_soon_threadsafe`, so that a group
    wakes the loop once and callbacks run in it. It gives the same as `defer`, so that rows of one turn
    of the loop are written together, and with `in_turn` by the loop itself, as long as the disk is quick.
    UnusableDatabase if the file can't be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        notify: Notify = lambda run: run(),
        defer: Notify = lambda run: run(),
        in_turn: bool = False,
    ) -> None:
        """Open or make the file and start the writer."""
        self.commits = 0
        self._path = path
        self._database = connect(path, SCHEMA, cached_statements=2 * MAX_GROUP + 8)
        self._reader = connect(path, SCHEMA)
        self._reading = Lock()
        self._owed: list[_Void] = []
        self._patience = BUSY_SECONDS
        self._writer: GroupWriter[_Entry] = GroupWriter(
            self._write, lambda: bool(self._owed), notify, defer, self._attempt if in_turn else None
        )

    def append(self, event: UsageEvent, holds: Holds | None = None) -> GroupTicket[_Entry]:
        """Queue the row; never blocks on the disk."""
        return self._writer.submit(event if holds is None else _Held(event.call_id, event, holds))

    def void(self, call_id: str, attempt: str) -> None:
        """Queue the void and wait. If it fails, the writer tries again for as long as we live."""
        self._writer.submit(_Void(call_id, attempt)).wait()

    def get(self, call_id: str) -> UsageEvent | None:
        """Read one row as it was last committed."""
        try:
            with self._reading:
                row = self._reader.execute(f"{READ} WHERE call_id = ?", (call_id,)).fetchone()
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self._path} can't be read: {error}") from error
        return decode(row) if row else None

    def close(self) -> None:
        """Commit what is queued, move it from the write-ahead log into the file, let go."""
        self._writer.close()
        self._reader.close()
        with suppress(sqlite3.Error):  # what stays in the log is as durable there
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()

    def _attempt(self, entries: list[_Entry]) -> list[Result]:
        """Write a group, but BlockingIOError, and nothing written, if others would have to be waited for."""
        if self._owed:
            raise BlockingIOError
        return self._write(entries, patience=0)

    def _write(self, entries: list[_Entry], *, patience: float = BUSY_SECONDS) -> list[Result]:
        """Write a group, after what is owed from groups that failed."""
        try:
            if patience != self._patience:
                self._database.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
                self._patience = patience
            self._pay_owed()
            return self._commit(entries) if entries else []
        except Exception as error:
            if not patience and not self._owed and _code(error) == sqlite3.SQLITE_BUSY:
                raise BlockingIOError from error
            with suppress(Exception):  # at once, so that a passing fault leaves nothing in doubt
                self._pay_owed()
            self._owed += [entry for entry in entries if isinstance(entry, _Void)]
            raise

    def _pay_owed(self) -> None:
        """Make the voids durable that failed, and void what a failed COMMIT may have left.

        A COMMIT that fails may yet have put its rows into the write-ahead log, where the recovery
        after a crash would find them. So before anything else is written they are written as void,
        which also takes the very place in the log where they may lie. What remains: a process
        killed before the disk takes this can leave a live row whose answer never left, to be
        credited when the ledger is reconciled with the access log.
        """
        while self._owed:
            owed = self._owed[:MAX_GROUP]
            self._commit(owed)
            del self._owed[: len(owed)]

    def _commit(self, entries: Sequence[_Entry]) -> list[Result]:
        """Apply entries in one transaction; the exception of one that failed alone is its result.

        Raises if they are not written. Should they be there nevertheless, they are owed a void.
        """
        inserted = self._insert(entries)
        if inserted is not None:
            return inserted
        billed: list[UsageEvent] = []
        try:
            self._database.execute("BEGIN IMMEDIATE")
            results = self._apply_or_isolate(entries, billed)
        except Exception:
            self._roll_back()
            raise
        try:
            self._database.execute("COMMIT")
        except Exception:
            self._roll_back()
            self._owed += [_Void(row.call_id, row.attempts[0], row) for row in billed]
            raise
        self.commits += 1
        return results

    def _insert(self, entries: Sequence[_Entry]) -> list[Result] | None:
        """Write a group of new calls by one statement, which outside of BEGIN is a transaction of its own.

        Each statement lets go of the GIL, and beside busy threads getting it back is what takes
        time. None, and nothing written, if an entry is to be judged by what is there, or is refused.
        """
        values: list[Any] = []
        rows: list[UsageEvent] = []
        for entry in entries:
            if not isinstance(entry, UsageEvent):
                return None
            rows.append(entry)
            values += encode(entry)
        try:
            self._database.execute(INSERT[len(rows)], values)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError):
            return None  # a row of this name is there already or comes twice, or one does not fit
        except sqlite3.DatabaseError as error:
            if _code(error) == sqlite3.SQLITE_FULL:  # the long way tells whether that was before the COMMIT
                return None
            if _code(error) != sqlite3.SQLITE_BUSY:  # which never began
                self._owed += [_Void(row.call_id, row.attempts[0], row) for row in rows]
            raise
        except Exception:  # nothing SQLite was handed
            return None
        self.commits += 1
        return [Billed(row) for row in rows]

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def _apply_or_isolate(self, entries: Sequence[_Entry], billed: list[UsageEvent]) -> list[Result]:
        """Apply entries at once or, if one of them is refused, each by itself."""
        try:
            return [*self._apply(entries, billed)]
        except sqlite3.OperationalError:  # full disk, I/O error: no entry is to blame
            raise
        except Exception:
            results: list[Result] = []
            for entry in entries:
                try:
                    results += self._apply([entry], billed)
                except sqlite3.OperationalError:
                    raise
                except Exception as error:
                    log.error("a usage row was refused: %s", error)
                    results.append(error)
            return results

    def _apply(self, entries: Sequence[_Entry], billed: list[UsageEvent]) -> list[Outcome | None]:
        """Judge entries in their order, then write what changed, all or nothing.

        One statement reads and one writes, whatever the number of entries, for the reason in `_insert`.
        """
        marks = ", ".join("?" * len(entries))
        rows = self._database.execute(f"{READ} WHERE call_id IN ({marks})", [e.call_id for e in entries])
        held = {row[0]: decode(row) for row in rows}
        holds = GroupHolds(self._database)
        changed: dict[str, UsageEvent] = {}
        newly_billed: list[UsageEvent] = []
        outcomes: list[Outcome | None] = []
        for entry in entries:
            row = held.get(entry.call_id)
            outcome: Outcome | None = None
            if isinstance(entry, _Void):
                if entry.doubtful and (row is None or row.revision < entry.doubtful.revision):
                    row = entry.doubtful
                write = voided(row, entry.attempt)
                if write:
                    holds.give_back(entry.call_id)
            else:
                event, wanted = (entry.event, entry.holds) if isinstance(entry, _Held) else (entry, None)
                write, outcome = settle(row, event)
                if write and isinstance(outcome, Billed):
                    short = holds.take(entry.call_id, wanted(write)) if wanted else None
                    if short:
                        write, outcome = None, short
                    else:
                        newly_billed.append(write)
            if write:
                held[entry.call_id] = changed[entry.call_id] = write
            outcomes.append(outcome)
        if changed:
            values = [value for row in changed.values() for value in encode(row)]
            with holds.written():
                self._database.execute(f"{WRITE} {', '.join([ROW] * len(changed))}", values)
        billed += newly_billed
        return outcomes


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
