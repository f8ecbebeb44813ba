"""Customers' identities in one SQLite file of their own, which usage and invoices never read.

Erasing one overwrites it (`secure_delete`), and a rollback journal in place of a write-ahead log
leaves no copy beside the file. What the file system and its backups keep is beyond this.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from functions.customers.record import Customer, register
from functions.sqlite import UnusableDatabase, connect

SCHEMA = (
    """
    CREATE TABLE customer (
        customer_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL,
        email TEXT NOT NULL UNIQUE COLLATE NOCASE, created_at INTEGER NOT NULL
    ) STRICT
    """,
)
_READ = "SELECT customer_id, name, email, created_at FROM customer"


class UnknownCustomer(KeyError):
    """No customer has this id, or the identity was erased."""

    def __str__(self) -> str:
        return f"no customer {self.args[0]!r}: `payphone customer list` shows those there are"


class DuplicateEmail(Exception):
    """Another customer has this address; the message names the customer."""


class SqliteCustomers:
    """Customers in one file, readable by its owner only; opened for each operation.

    UnusableDatabase if the file can't be opened, read or written.
    """

    def __init__(self, path: str) -> None:
        """Open or make the file."""
        self._path = path
        with self._transaction():
            pass

    def add(self, name: str, email: str) -> Customer:
        """Register a customer; InvalidCustomer, DuplicateEmail."""
        customer = register(name, email, time.time_ns() // 1_000_000)
        with self._transaction() as database:
            other = database.execute(
                "SELECT customer_id FROM customer WHERE email = ?", (customer.email,)
            ).fetchone()
            if other:
                raise DuplicateEmail(f"{customer.email} is the address of {other[0]} already")
            database.execute("INSERT INTO customer VALUES (?, ?, ?, ?)", customer)
        return customer

    def get(self, customer_id: str) -> Customer:
        """One identity; UnknownCustomer."""
        with self._transaction() as database:
            row = database.execute(f"{_READ} WHERE customer_id = ?", (customer_id,)).fetchone()
        if not row:
            raise UnknownCustomer(customer_id)
        return Customer(*row)

    def list(self) -> Sequence[Customer]:
        """All identities, oldest first."""
        with self._transaction() as database:
            return [Customer(*row) for row in database.execute(f"{_READ} ORDER BY created_at, rowid")]

    def erase(self, customer_id: str) -> None:
        """Remove an identity for good; its pseudonym stays in usage and on invoices. UnknownCustomer.

        Keys go on working: revoke them first if they should not.
        """
        with self._transaction() as database:
            gone = database.execute("DELETE FROM customer WHERE customer_id = ?", (customer_id,))
            if not gone.rowcount:
                raise UnknownCustomer(customer_id)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(connect(self._path, SCHEMA, erasable=True)) as database:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise UnusableDatabase(f"{self._path} can't be used: {error}") from error
