"""The Ledger protocol: where usage rows are written, exactly once.

`append` is split in two. It starts the write and gives a Ticket at once; the ticket's outcome is
known once the row is durable. Between the two the caller infers. This one shape fits a group
commit (SQLite), a request on the wire (DynamoDB) and a wait before inference (holds).

A hold takes an amount from an account in the very transaction that writes the row, or else nothing is
written; the row's void gives it back. Prepaid wallets, spend caps and hard quotas are all accounts: what
an amount stands for (billionths of a dollar, calls) is its maker's to know.
"""

from __future__ import annotations

from functions.metering.event import LIVE, VOID, UsageEvent
from models.typed import Callable, NamedTuple, Protocol, Sequence

REPLAY_WINDOW_MS = 24 * 3600 * 1000
MAX_REPLAYS = 10


class LedgerUnavailable(Exception):
    """The row could not be made durable: nothing is billed, and the answer must not leave."""


class Billed(NamedTuple):
    """The row is durable and this attempt pays for it."""

    row: UsageEvent


class Replayed(NamedTuple):
    """The call was billed before; this attempt is answered for free."""

    row: UsageEvent


class Refused(NamedTuple):
    """The call may not be answered. `reason` is one of

    "mismatch": the Idempotency-Key was used for a different request;
    "expired": the first attempt is over 24 hours old;
    "exhausted": the call was replayed ten times already;
    "foreign": two different calls came with one gateway id, which must never happen.
    """

    reason: str


class Hold(NamedTuple):
    """So much of an account, which is taken only if its balance does not fall below `floor`.

    An account that was never touched has the balance 0. `amount` is 0 or more.
    """

    account: str
    amount: int
    floor: int = 0


Holds = Callable[[UsageEvent], Sequence[Hold]]
"""What a row holds, of as many different accounts, once it is billed as it stands."""


class Insufficient(NamedTuple):
    """An account can't bear its hold: nothing was written, and nothing held."""

    hold: Hold
    balance: int


Outcome = Billed | Replayed | Refused | Insufficient


def settle(row: UsageEvent | None, event: UsageEvent) -> tuple[UsageEvent | None, Outcome]:
    """Judge one append: the row to write (None: leave it as it is) and the outcome.

    This is the one rule of exactly-once billing. Every ledger applies it to the row it holds
    under `event.call_id` and writes the result on the condition that the row has not changed.
    """
    attempt = event.attempts[0]
    if row is None:
        return event, Billed(event)
    if not event.fingerprint:  # no Idempotency-Key: only a resend of this very attempt may be here
        unchanged = row._replace(state=event.state, revision=event.revision) == event
        return None, Billed(row) if unchanged and row.state == LIVE else Refused("foreign")
    if row.fingerprint != event.fingerprint:
        return None, Refused("mismatch")
    if attempt in row.attempts and row.state == LIVE:
        return None, Billed(row) if attempt == row.attempts[0] else Replayed(row)
    if event.started_at - row.started_at > REPLAY_WINDOW_MS:
        return None, Refused("expired")
    if len(row.attempts) > MAX_REPLAYS:
        return None, Refused("exhausted")
    if row.state == VOID:  # the billed attempt failed, so this one takes the row over
        claimed = event._replace(
            attempts=(attempt, *row.attempts), started_at=row.started_at, revision=row.revision + 1
        )
        return claimed, Billed(claimed)
    replayed = row._replace(attempts=(*row.attempts, attempt), revision=row.revision + 1)
    return replayed, Replayed(replayed)


def voided(row: UsageEvent | None, attempt: str) -> UsageEvent | None:
    """Judge one void: the row to write, or None where there is nothing for `attempt` to take back."""
    if row is None or row.state == VOID or row.attempts[0] != attempt:
        return None
    return row._replace(state=VOID, revision=row.revision + 1)


class Ticket(Protocol):
    """One append under way."""

    def outcome(self) -> Outcome:
        """Wait until the row is durable; LedgerUnavailable if it can't be made so."""

    def on_settled(self, callback: Callable[[], None]) -> None:
        """Call `callback` once outcome() no longer blocks; it may come from another thread."""


class Ledger(Protocol):
    """Usage rows keyed by call. SQLite here, DynamoDB in the cloud; one contract suite holds both."""

    def append(self, event: UsageEvent, holds: Holds | None = None) -> Ticket:
        """Start to write `event`, whose `attempts` hold the one attempt that is made now.

        `holds` is asked what the row holds if this attempt is billed; a replay holds nothing.
        """

    def void(self, call_id: str, attempt: str) -> None:
        """Take back the row that `attempt` was billed for, and what it holds: the call was not answered.

        Durable on return; LedgerUnavailable if not. Voiding twice, or a row that another attempt
        has claimed since, changes nothing.
        """

    def get(self, call_id: str) -> UsageEvent | None:
        """Read one row."""

    def close(self) -> None:
        """Make everything appended durable and let go of the store."""
