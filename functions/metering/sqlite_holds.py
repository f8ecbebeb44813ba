"""Holds in SQLite: accounts, and what each live call holds of them, in the ledger's own file.

    account   the balance of each: what was posted to it, less what live calls hold of it
    hold      what a live call holds; the call's void takes it from here
    entry     what was posted: immutable, one of each id

A group's holds are worked out in memory, in the order of its calls, and written in the transaction that
writes its rows. A group without any touches none of these tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from functions.metering.ledger import Hold, Insufficient

ACCOUNTS = """
    CREATE TABLE account (account TEXT NOT NULL PRIMARY KEY, balance INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE hold (
        call_id TEXT NOT NULL, account TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0),
        PRIMARY KEY (call_id, account)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE entry (
        account TEXT NOT NULL, entry_id TEXT NOT NULL, amount INTEGER NOT NULL,
        reason TEXT NOT NULL, made_at INTEGER NOT NULL, PRIMARY KEY (account, entry_id)
    ) STRICT, WITHOUT ROWID
    """


class GroupHolds:
    """What the calls of one group hold and give back."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Read from and write to `database`, which is in a transaction."""
        self._database = database
        self._balances: dict[str, int] = {}
        self._taken: dict[str, list[tuple[str, int]]] = {}
        self._given_back: list[str] = []

    def take(self, call_id: str, holds: Sequence[Hold]) -> Insufficient | None:
        """Hold all of it, or nothing: then the first that can't be borne."""
        for hold in holds:
            balance = self._balance(hold.account)
            if balance - hold.amount < hold.floor:
                return Insufficient(hold, balance)
        taken = [(hold.account, hold.amount) for hold in holds if hold.amount]
        for account, amount in taken:
            self._balances[account] -= amount
        self._taken[call_id] = taken
        return None

    def give_back(self, call_id: str) -> None:
        """Put back what a call holds, from before this group or from within it."""
        taken = self._taken.pop(call_id, None)
        if taken is None:
            sql = "SELECT account, amount FROM hold WHERE call_id = ?"
            taken = self._database.execute(sql, (call_id,)).fetchall()
            if taken:
                self._given_back.append(call_id)
        for account, amount in taken:
            self._balances[account] = self._balance(account) + amount

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write them together with what is written inside, or neither."""
        if not self._balances:
            yield
            return
        self._database.execute("SAVEPOINT held")
        try:
            self._write()
            yield
        except BaseException:
            self._database.execute("ROLLBACK TO held")
            raise
        finally:
            self._database.execute("RELEASE held")

    def _balance(self, account: str) -> int:
        if account not in self._balances:
            sql = "SELECT balance FROM account WHERE account = ?"
            row = self._database.execute(sql, (account,)).fetchone()
            self._balances[account] = row[0] if row else 0
        return self._balances[account]

    def _write(self) -> None:
        database = self._database
        database.executemany("DELETE FROM hold WHERE call_id = ?", [(call,) for call in self._given_back])
        database.executemany(
            "INSERT INTO hold VALUES (?, ?, ?)",
            [(call, *part) for call, taken in self._taken.items() for part in taken],
        )
        database.executemany("INSERT OR REPLACE INTO account VALUES (?, ?)", [*self._balances.items()])
