"""How usage rows lie in SQLite, and the statements that read and write them.

The table has a rowid and two indices. A random `call_id` dirties a page of its index for each row;
where attempt ids grow with time neighbours share that page, and a large group costs a third.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any

from functions.metering.event import LIVE, VOID, UsageEvent
from functions.metering.group import MAX_GROUP
from functions.metering.sqlite_holds import ACCOUNTS

SCHEMA = (
    f"""
    CREATE TABLE call (
        call_id TEXT NOT NULL PRIMARY KEY, attempts TEXT NOT NULL, key_id TEXT NOT NULL,
        customer TEXT NOT NULL, plan TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
        kind TEXT NOT NULL, units INTEGER NOT NULL, bytes_in INTEGER NOT NULL,
        started_at INTEGER NOT NULL, fingerprint TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('{LIVE}', '{VOID}')), revision INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX call_by_time ON call (started_at, customer)
    """,
    "ALTER TABLE call ADD COLUMN nonce TEXT NOT NULL DEFAULT ''",
    ACCOUNTS,
)
# Nothing but these constants and question marks ever enters the text of a statement.
_COLUMNS = ", ".join(UsageEvent._fields)
READ = f"SELECT {_COLUMNS} FROM call"  # noqa: S608
WRITE = f"INSERT OR REPLACE INTO call ({_COLUMNS}) VALUES"
ROW = f"({', '.join('?' * len(UsageEvent._fields))})"
INSERT = [  # by the number of rows
    f"INSERT INTO call ({_COLUMNS}) VALUES {', '.join([ROW] * count)}"  # noqa: S608
    for count in range(MAX_GROUP + 1)
]
_ATTEMPTS = UsageEvent._fields.index("attempts")


def encode(row: UsageEvent) -> list[Any]:
    """Its values, in the order of the columns."""
    values: list[Any] = [*row]
    values[_ATTEMPTS] = f"[{','.join(map(encode_basestring_ascii, row.attempts))}]"
    return values


def decode(row: tuple[Any, ...]) -> UsageEvent:
    """The row that READ has read."""
    return UsageEvent(row[0], tuple(json.loads(row[1])), *row[2:])
