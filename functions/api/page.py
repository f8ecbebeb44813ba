"""Paging: a list is given in pieces, each with the cursor that the next one goes on from.

A cursor is what the last entry is sorted by, so that entries which come in meanwhile move nothing.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from functions.calls.problems import Problem

MOST = 1_000

Limit = Annotated[int, Query(ge=1, le=MOST, description="Entries a page")]
After = Annotated[
    str | None,
    Query(
        max_length=1_000,
        pattern="^[A-Za-z0-9_-]*$",
        description="`next` of the page before; leave out for the first",
    ),
]


def cursor(key: Sequence[str]) -> str:
    """The cursor after an entry."""
    return urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def key_of(text: str, length: int) -> tuple[str, ...]:
    """What the entry before is sorted by; Problem where it is no cursor of such a list."""
    try:
        found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not (isinstance(found, list) and len(found) == length and all(isinstance(x, str) for x in found)):
            raise ValueError
    except ValueError:
        raise Problem("invalid-parameter", "after should be `next` of the page before.") from None
    return tuple(found)
