"""API keys in one SQLite file: issued, rotated, revoked and scoped at run time; looked up per call.

Lookups come from a cache that is dropped as soon as any process has committed to the file, so that
a revoked key opens nothing from the next look-up on. The file never holds a key, only its SHA-256.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from functions.access import keys
from functions.access.keys import KeyRecord, LookupUnavailable, Plan
from functions.sqlite import UnusableDatabase, connect

CACHED_KEYS = 10_000

SCHEMA = (
    """
    CREATE TABLE plan (
        name TEXT NOT NULL PRIMARY KEY, version TEXT NOT NULL,
        rate REAL NOT NULL, burst INTEGER NOT NULL, quota INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE key (
        key_id TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL UNIQUE, customer TEXT NOT NULL,
        plan TEXT NOT NULL, models TEXT NOT NULL, created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL, revoked_at INTEGER NOT NULL DEFAULT 0,
        successor TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX key_by_customer ON key (customer)
    """,
    """
    ALTER TABLE plan ADD COLUMN holds TEXT NOT NULL DEFAULT '';
    ALTER TABLE plan ADD COLUMN counts TEXT NOT NULL DEFAULT ''
    """,
)
_PLAN = "name, version, rate, burst, quota, holds, counts"
_READ = f"""
    SELECT key_id, digest, customer, {_PLAN}, models,
           created_at, expires_at, revoked_at
    FROM key JOIN plan ON plan.name = key.plan"""  # noqa: S608  a constant


class UnknownKey(KeyError):
    """No key has this id."""

    def __str__(self) -> str:
        return f"no key has the id {self.args[0]!r}: `payphone key list` shows those there are"


class UnknownPlan(KeyError):
    """No plan has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class NotRotatable(Exception):
    """The key is revoked, expired or rotated already; the message says what to do."""


class SqliteKeys:
    """Keys and the plans they are on. Implements KeyFinder; any thread may use it.

    UnusableDatabase if the file can't be opened; LookupUnavailable if it can't be read or written later.
    """

    def __init__(self, path: str) -> None:
        """Open or make the file, readable by its owner only."""
        self._path = path
        self._reader = connect(path, SCHEMA)
        self._lock = Lock()
        self._cache: dict[str, KeyRecord] = {}
        self._seen = -1

    def find(self, digest: str) -> KeyRecord | None:
        """The record of the key with this SHA-256, as of the last commit of any process."""
        try:
            with self._lock:
                # Changes with every commit of another connection, and this one never writes.
                (version,) = self._reader.execute("PRAGMA data_version").fetchone()
                if version != self._seen or len(self._cache) >= CACHED_KEYS:
                    self._cache.clear()
                    self._seen = version
                record = self._cache.get(digest)
                if record is None:
                    row = self._reader.execute(f"{_READ} WHERE digest = ?", (digest,)).fetchone()
                    if row:
                        record = self._cache[digest] = _record(row)
                return record
        except sqlite3.Error as error:
            raise LookupUnavailable(f"{self._path} can't be read: {error}") from error

    def issue(
        self, customer: str, plan: str, models: Sequence[str] = (), expires_at: int = 0
    ) -> tuple[str, KeyRecord]:
        """Make a key; what comes back in clear is kept nowhere. UnknownPlan says which plans there are."""
        with self._transaction() as database:
            return _issue(database, customer, plan, models, expires_at)

    def rotate(self, key_id: str, grace_ms: int) -> tuple[str, KeyRecord]:
        """Make a key like this one, which expires after the grace period at the latest.

        The new one ends when the old one would have. UnknownKey; NotRotatable says why not.
        """
        if grace_ms < 0:
            raise ValueError(f"a grace period of 0 milliseconds or more was expected, not {grace_ms}")
        with self._transaction() as database:
            old, now = _get(database, key_id), _now_ms()
            if not old.usable(now):
                state = "revoked" if old.revoked_at else "expired"
                raise NotRotatable(f"{key_id} is {state}: issue a new key instead")
            (successor,) = database.execute(
                "SELECT successor FROM key WHERE key_id = ?", (key_id,)
            ).fetchone()
            if successor:
                raise NotRotatable(f"{key_id} was rotated already: rotate its successor {successor}")
            key, new = _issue(database, old.customer, old.plan.name, old.models, old.expires_at)
            ends = min(now + grace_ms, old.expires_at or now + grace_ms)
            database.execute(
                "UPDATE key SET expires_at = ?, successor = ? WHERE key_id = ?", (ends, new.key_id, key_id)
            )
            return key, new

    def revoke(self, key_id: str) -> KeyRecord:
        """Close the key for good, from the next look-up on. Revoking twice changes nothing. UnknownKey."""
        with self._transaction() as database:
            database.execute(
                "UPDATE key SET revoked_at = ? WHERE key_id = ? AND revoked_at = 0", (_now_ms(), key_id)
            )
            return _get(database, key_id)

    def get(self, key_id: str) -> KeyRecord:
        """One record by its id; UnknownKey."""
        with self._reading() as database:
            return _get(database, key_id)

    def list(self, customer: str | None = None) -> Sequence[KeyRecord]:
        """Records of all keys or of one customer's, oldest first."""
        with self._reading() as database:
            rows = database.execute(
                f"{_READ} WHERE ?1 IS NULL OR customer = ?1 ORDER BY created_at, key.rowid", (customer,)
            )
            return [_record(row) for row in rows]

    def set_plan(self, plan: Plan) -> None:
        """Put a plan version in force: all keys on the plan of this name follow. ValueError."""
        if not plan.name or "@" in plan.name:
            raise ValueError(f"a plan name without '@' was expected, not {plan.name!r}")
        if min(plan.rate, plan.burst, plan.quota) < 0 or (plan.rate and plan.burst < 1):
            raise ValueError(
                f"plan {plan.name}: limits of 0 (none) or more were expected, "
                f"and a burst of at least 1 beside a rate, not {plan.rate=}, {plan.burst=}, {plan.quota=}"
            )
        with self._transaction() as database:
            marks = ", ".join("?" * len(plan))
            database.execute(f"INSERT OR REPLACE INTO plan ({_PLAN}) VALUES ({marks})", plan)  # noqa: S608  ?s

    def plans(self) -> Sequence[Plan]:
        """The plan versions in force, by name."""
        with self._reading() as database:
            return _plans(database)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._reader
        except sqlite3.Error as error:
            raise LookupUnavailable(f"{self._path} can't be read: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, whose commit `find` notices and whose sync it need not wait for."""
        try:
            with closing(connect(self._path, SCHEMA)) as database:  # rolls back what is not committed
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except (sqlite3.Error, UnusableDatabase) as error:
            raise LookupUnavailable(f"{self._path} can't be written: {error}") from error


def _issue(
    database: sqlite3.Connection, customer: str, plan: str, models: Sequence[str], expires_at: int
) -> tuple[str, KeyRecord]:
    if plan not in (known := [p.name for p in _plans(database)]):
        raise UnknownPlan(f"no plan is named {plan!r} (plans: {', '.join(known) or 'none yet'})")
    key = keys.generate()
    key_id = "key_" + "".join(secrets.choice(keys.ALPHABET) for _ in range(16))
    database.execute(
        "INSERT INTO key (key_id, digest, customer, plan, models, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key_id, keys.digest(key), customer, plan, json.dumps([*models]), _now_ms(), expires_at),
    )
    return key, _get(database, key_id)


def _get(database: sqlite3.Connection, key_id: str) -> KeyRecord:
    row = database.execute(f"{_READ} WHERE key_id = ?", (key_id,)).fetchone()
    if not row:
        raise UnknownKey(key_id)
    return _record(row)


def _plans(database: sqlite3.Connection) -> list[Plan]:
    rows = database.execute(f"SELECT {_PLAN} FROM plan ORDER BY name")  # noqa: S608  a constant
    return [Plan(*row) for row in rows]


def _record(row: tuple[Any, ...]) -> KeyRecord:
    key_id, digest, customer, *plan, models, created_at, expires_at, revoked_at = row
    return KeyRecord(
        key_id, digest, customer, Plan(*plan), tuple(json.loads(models)), created_at, expires_at, revoked_at
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
