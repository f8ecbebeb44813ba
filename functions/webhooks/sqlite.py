"""The outbox of one machine: a SQLite file, and beside it the key that its secrets are encrypted with."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from functions.sqlite import connect
from functions.webhooks.outbox import WAITING, Delivery, Endpoint, Message

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

BATCH = 100
SCHEMA = (
    f"""
    CREATE TABLE endpoint (
        endpoint_id TEXT NOT NULL PRIMARY KEY, url TEXT NOT NULL, customer TEXT NOT NULL,
        events TEXT NOT NULL, secrets TEXT NOT NULL, created_at INTEGER NOT NULL, disabled TEXT NOT NULL
    ) STRICT;
    CREATE TABLE message (
        message_id TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, made_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE delivery (
        message_id TEXT NOT NULL, endpoint_id TEXT NOT NULL, body BLOB NOT NULL, due_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL, state TEXT NOT NULL, said TEXT NOT NULL,
        PRIMARY KEY (message_id, endpoint_id)
    ) STRICT;
    CREATE INDEX delivery_due ON delivery (due_at) WHERE state = '{WAITING}'
    """,
)
_DELIVERY = ", ".join(Delivery._fields)


class SqliteOutbox:
    """Implements Outbox; any thread may use it. UnusableDatabase if the file can't be opened."""

    def __init__(self, path: str) -> None:
        """Open or make the file, readable by its owner only."""
        self._lock = Lock()
        self._database = connect(path, SCHEMA)

    def endpoints(self) -> list[Endpoint]:
        """All of them, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT * FROM endpoint ORDER BY created_at, endpoint_id"
            ).fetchall()
        return [Endpoint._make((*row[:3], tuple(json.loads(row[3])), *row[4:])) for row in rows]

    def save(self, endpoint: Endpoint) -> None:
        """Add or replace it."""
        values = [json.dumps(v) if isinstance(v, tuple) else v for v in endpoint]
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO endpoint VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def remove(self, endpoint_id: str) -> None:
        """Drop it, and what is on its way to it."""
        with self._transaction() as database:
            database.execute("DELETE FROM endpoint WHERE endpoint_id = ?", (endpoint_id,))
            database.execute(
                "DELETE FROM delivery WHERE endpoint_id = ? AND state = ?", (endpoint_id, WAITING)
            )

    def put(self, message: Message, to: Sequence[Endpoint]) -> bool:
        """Put a message in with its deliveries, once."""
        deliveries = [
            Delivery(message.message_id, endpoint.endpoint_id, message.body, message.made_at)
            for endpoint in to
        ]
        with self._transaction() as database:
            known = database.execute(
                "INSERT OR IGNORE INTO message VALUES (?, ?, ?)",
                (message.message_id, message.type, message.made_at),
            )
            if not known.rowcount:
                return False
            database.executemany("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?)", deliveries)
            return True

    def due(self, now_ms: int) -> list[Delivery]:
        """What waits to be sent by now."""
        return self._read("WHERE state = ? AND due_at <= ? ORDER BY due_at", (WAITING, now_ms))

    def record(self, delivery: Delivery) -> None:
        """Keep what came of an attempt."""
        with self._transaction() as database:
            database.execute(
                "UPDATE delivery SET due_at = ?, attempts = ?, state = ?, said = ?"
                " WHERE message_id = ? AND endpoint_id = ?",
                (*delivery[3:], *delivery[:2]),
            )

    def deliveries(self) -> list[Delivery]:
        """The latest."""
        return self._read("ORDER BY rowid DESC", ())

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _read(self, which: str, values: Sequence[object]) -> list[Delivery]:
        sql = f"SELECT {_DELIVERY} FROM delivery {which} LIMIT {BATCH}"  # noqa: S608  constants of this file
        with self._lock:
            return [Delivery(*row) for row in self._database.execute(sql, values)]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")


class FileVault:
    """Implements Vault by encryption (Fernet) under a key in a file that only its owner can read.

    Who copies the database alone, as a backup does, has no secrets. Without the key's file they are lost:
    `payphone webhook rotate` makes new ones.
    """

    def __init__(self, key_file: Path) -> None:
        """Nothing is read, nor made, until there is a secret to keep or to reveal."""
        self._key_file = key_file

    @cached_property
    def _fernet(self) -> Fernet:
        """Make the key if there is none."""
        from cryptography.fernet import Fernet  # a server without webhooks has no use for it

        file = self._key_file
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            made = file.with_suffix(f".{os.getpid()}")
            made.touch(0o600)
            made.write_bytes(Fernet.generate_key())
            with suppress(FileExistsError):
                os.link(made, file)  # whole or not at all, and the first of two processes wins
            made.unlink()
        return Fernet(file.read_bytes())

    def keep(self, name: str, secret: str) -> str:
        """Encrypt it."""
        return self._fernet.encrypt(secret.encode()).decode()

    def reveal(self, kept: str) -> str:
        """Decrypt it."""
        return self._fernet.decrypt(kept.encode()).decode()

    def forget(self, kept: str) -> None:
        """What is kept lies with the endpoint and goes with it."""
