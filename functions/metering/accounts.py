"""Accounts: what calls hold amounts of, and the journal of what was put in.

    balance = posted entries - what live calls hold

An entry has an id that its maker chooses, so that posting it twice posts it once, and it never changes.
Amounts are integers; what they stand for is for functions/billing to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.typed import NamedTuple, Protocol

MOST = 2**62
"""No entry is larger, so that no sum leaves SQLite's 64 bits unseen."""


class Entry(NamedTuple):
    """One posting. `made_at` is in milliseconds since 1970 UTC."""

    entry_id: str
    amount: int
    reason: str
    made_at: int


class EntryConflict(ValueError):
    """The id was used for another amount or reason."""

    def __init__(self, posted: Entry) -> None:
        super().__init__(
            f"entry {posted.entry_id} was posted already, with another amount or reason: "
            "a new id was expected for a new entry"
        )
        self.posted = posted


class Overdrawn(ValueError):
    """The entry would bring the balance below 0: nothing was posted."""

    def __init__(self, account: str, balance: int) -> None:
        super().__init__(f"{account} has less than this entry takes")
        self.balance = balance


class Accounts(Protocol):
    """Reads and posts. LedgerUnavailable where the store can't be read or written."""

    def post(self, account: str, entry: Entry) -> Entry:
        """Post an entry and give it as it stands; EntryConflict, Overdrawn."""

    def balance(self, account: str) -> int:
        """What is left; 0 where nothing was ever posted or held."""

    def entries(self, account: str) -> list[Entry]:
        """What was posted, oldest first."""

    def balances(self, prefix: str) -> Iterator[tuple[str, int]]:
        """All accounts whose name begins so, with what is left."""


def same(posted: Entry, entry: Entry) -> Entry:
    """The entry that is there already, if `entry` is the same; EntryConflict."""
    if (posted.amount, posted.reason) != (entry.amount, entry.reason):
        raise EntryConflict(posted)
    return posted
