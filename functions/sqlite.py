"""How every SQLite file of ours is opened: private, durable, and never by code that is too old for it.

A file carries the version of its schema in `PRAGMA user_version`. What is acknowledged is on the
disk and not in its cache (`synchronous=FULL`), and a file needs no repair after a crash.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
BUSY_SECONDS = 1.0


class UnusableDatabase(Exception):
    """The file can't be opened as what it should be; the message says why and what to do."""


def connect(
    path: str, schema: Sequence[str], *, erasable: bool = False, cached_statements: int = 64
) -> sqlite3.Connection:
    """Open the file, made with `schema` if it is new; UnusableDatabase says why it can't be.

    `schema` holds the statements of each schema version in order, the last one is ours. The
    connection commits by itself outside BEGIN, may be used from any thread (one at a time), and
    waits `BUSY_SECONDS` for another writer. What is deleted from an `erasable` file is overwritten and
    leaves no copy beside it, for which its readers and writers wait for each other.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise UnusableDatabase(f"SQLite {wanted} or newer is needed, this is {sqlite3.sqlite_version}")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _make_private(path)
        connection = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=cached_statements,
        )
    except (OSError, sqlite3.Error) as error:
        raise UnusableDatabase(f"{path} can't be opened: {error}") from error
    try:
        _prepare(connection, path, schema, erasable)
    except sqlite3.Error as error:
        connection.close()
        raise UnusableDatabase(f"{path} can't be used: {error}") from error
    except UnusableDatabase:
        connection.close()
        raise
    return connection


def connect_to_read(path: str, schema: Sequence[str]) -> sqlite3.Connection:
    """Open a file that is there, read-only; UnusableDatabase if it is not, or not of our schema.

    One of an earlier release is brought up to date first.
    """
    try:
        connection = sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
        version = _version(connection)
    except sqlite3.Error as error:
        raise UnusableDatabase(f"{path} can't be read: {error}") from error
    if version != len(schema):
        connection.close()
        if 0 < version < len(schema):
            connect(path, schema).close()
            return connect_to_read(path, schema)
        raise UnusableDatabase(f"{path} has schema version {version}, {len(schema)} was expected")
    return connection


def _make_private(path: str) -> None:
    """Make the file readable by its owner only; SQLite gives its -wal and -shm files the same mode.

    A file that is there must not be opened: closing it again would drop every POSIX lock that this
    process has on it, whereupon the next process that lets go of the file takes itself for the last
    one and deletes the write-ahead log under us.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare(connection: sqlite3.Connection, path: str, schema: Sequence[str], erasable: bool) -> None:
    if erasable:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA synchronous=EXTRA")  # a cut of power must not bring the journal back
    else:
        connection.execute("PRAGMA synchronous=FULL")
    version = _version(connection)
    if version < len(schema):
        connection.execute(f"PRAGMA journal_mode={'DELETE' if erasable else 'WAL'}")
        connection.execute("BEGIN IMMEDIATE")  # two processes may make one file at once
        for number in range(_version(connection), len(schema)):
            for statement in schema[number].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number + 1}")
        connection.execute("COMMIT")
    elif version > len(schema):
        raise UnusableDatabase(
            f"{path} has schema version {version}, this release knows up to {len(schema)}: "
            "run the release that wrote it, or a newer one"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
