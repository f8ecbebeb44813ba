"""Accounts in the ledger's SQLite file, beside servers that hold from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from functions.metering.accounts import Entry, Overdrawn, same
from functions.metering.ledger import LedgerUnavailable
from functions.metering.sqlite_rows import SCHEMA
from functions.sqlite import connect

_ENTRY = "SELECT entry_id, amount, reason, made_at FROM entry WHERE account = ?"
_WRONG = """
    SELECT account FROM (
        SELECT account, balance AS amount FROM account
        UNION ALL SELECT account, -amount FROM entry
        UNION ALL SELECT account, amount FROM hold
    ) GROUP BY account HAVING sum(amount) <> 0 ORDER BY account"""


class SqliteAccounts:
    """Implements Accounts; any thread may use it. UnusableDatabase if the file can't be opened."""

    def __init__(self, path: str) -> None:
        """Open or make the ledger at `path`."""
        self._path = path
        self._lock = Lock()
        self._database = connect(path, SCHEMA)

    def post(self, account: str, entry: Entry) -> Entry:
        """Post an entry once, durably on return; EntryConflict, Overdrawn."""
        with self._transaction() as database:
            row = database.execute(f"{_ENTRY} AND entry_id = ?", (account, entry.entry_id)).fetchone()
            if row:
                return same(Entry(*row), entry)
            balance = _balance(database, account)
            if entry.amount < 0 and balance + entry.amount < 0:
                raise Overdrawn(account, balance)
            database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (account, *entry))
            database.execute(
                "INSERT OR REPLACE INTO account VALUES (?, ?)", (account, balance + entry.amount)
            )
            return entry

    def balance(self, account: str) -> int:
        """As it was last committed."""
        with self._usable() as database:
            return _balance(database, account)

    def entries(self, account: str) -> list[Entry]:
        """What was posted, oldest first."""
        with self._usable() as database:
            found = database.execute(f"{_ENTRY} ORDER BY made_at, entry_id", (account,))
            return [Entry(*row) for row in found]

    def balances(self, prefix: str) -> Iterator[tuple[str, int]]:
        """All accounts whose name begins so."""
        sql = "SELECT account, balance FROM account WHERE account >= ? AND account < ? ORDER BY account"
        with self._usable() as database:
            found = database.execute(sql, (prefix, f"{prefix}\U0010ffff")).fetchall()
        yield from found

    def discrepancies(self) -> list[str]:
        """Accounts whose balance is not what was posted less what live calls hold; [] as it should be.

        It reads all that was ever posted and held.
        """
        with self._usable() as database:
            return [account for (account,) in database.execute(_WRONG)]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def _usable(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._database
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self._path} can't be used: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._usable() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")


def _balance(database: sqlite3.Connection, account: str) -> int:
    row = database.execute("SELECT balance FROM account WHERE account = ?", (account,)).fetchone()
    return int(row[0]) if row else 0
