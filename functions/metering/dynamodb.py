"""The ledger in DynamoDB: one conditional put a call, sent before inference and acknowledged after it.

The table's key is `call_id`; an item is the row, field by field, under 1 kB and hence one write unit.
`append` puts the row if there is none. If there is one, DynamoDB's refusal carries it: `settle` judges,
and what it wants written is put on the condition that `revision` has not moved, again and again
until nobody came between. A resend that finds its own first sending is judged by the same rule.

A call with holds is written by one transaction with its accounts (`dynamodb_holds.py`, imported when the
first of them comes); its item then has `holds`, which stays with it until it is voided.

A row is always put whole, so an `expires_at` that was set when it was sealed goes when it changes: a row
expires only as it was sealed. A function that only appends and voids needs the rights PutItem and GetItem.
"""

from __future__ import annotations

from _weakref import ref

from functions.aws.service import Call, JsonService, Rejected, Unavailable
from functions.metering.event import UsageEvent
from functions.metering.ledger import (
    Billed,
    Holds,
    Insufficient,
    LedgerUnavailable,
    Outcome,
    Ticket,
    settle,
    voided,
)
from models.functional import lru_cache
from models.strict_json import dumps, loads, quoted
from models.typed import Any, Callable, NamedTuple

KEPT_TICKETS = 64
NUMBERS = ("units", "bytes_in", "started_at", "revision")
KINDS = {name: "N" if name in NUMBERS else "L" if name == "attempts" else "S" for name in UsageEvent._fields}
FORMS = {"S": '{"S":%s}', "N": '{"N":"%d"}', "L": '{"L":[%s]}'}
_MEMBERS = [f'"{name}":{FORMS[kind]}' for name, kind in KINDS.items()]
SAME = slice(2, 8)  # key_id, customer, plan, model, version, kind: as in the caller's last row
SAME_MEMBERS = ",".join(_MEMBERS[SAME])
ITEM = ",".join((*_MEMBERS[: SAME.start], "%s", *_MEMBERS[SAME.stop :]))
ABSENT = '"ConditionExpression":"attribute_not_exists(call_id)"'
UNMOVED = '"ConditionExpression":"revision = :seen","ExpressionAttributeValues":{":seen":{"N":"%d"}}'


class Stored(NamedTuple):
    """An item of the table: the row, and the JSON of what it holds ("" if it holds nothing)."""

    row: UsageEvent
    holds: str = ""


class DynamoDbLedger:
    """A Ledger in one table, its accounts in another.

    Threads may share it; each append under way has a connection of its own.
    """

    def __init__(self, table: str, service: JsonService, deadline_ms: int = 3000, accounts: str = "") -> None:
        """`deadline_ms` bounds the waiting for one append or get; inference in between is not counted.

        A void reads and writes, so it may take twice as long. `accounts` is the table that holds need.
        """
        self.accounts = accounts
        self._service = service
        self._table = quoted(table)
        self._seconds = deadline_ms / 1000
        self._tickets: list[ref[_Append]] = []
        self._closed = False

    def append(self, event: UsageEvent, holds: Holds | None = None) -> Ticket:
        """Send the row; the ticket reads the answer."""
        ticket = _Append(self, event, holds, self._seconds)
        if len(self._tickets) > KEPT_TICKETS:  # a WeakSet would do this for each of them
            self._tickets = [one for one in self._tickets if one() is not None]
        self._tickets.append(ref(ticket))
        return ticket

    def void(self, call_id: str, attempt: str) -> None:
        """Read the row and put it back as voided, unless it moves in between: then look again."""
        stored, seconds = self.read(call_id), self._seconds
        while stored and (write := voided(stored.row, attempt)) is not None:
            call = (self._give_back if stored.holds else self.put)(write, stored, seconds)
            landed, found = call.landed()
            if landed:
                return
            assert not isinstance(found, Insufficient)  # what is given back is always borne
            stored, seconds = found, call.seconds_left

    def get(self, call_id: str) -> UsageEvent | None:
        """Read one row, consistently."""
        stored = self.read(call_id)
        return stored.row if stored else None

    def read(self, call_id: str) -> Stored | None:
        """Read one item, consistently."""
        key = FORMS["S"] % quoted(call_id)
        body = f'{{"TableName":{self._table},"ConsistentRead":true,"Key":{{"call_id":{key}}}}}'
        try:
            return stored_of(loads(self.start("GetItem", body, self._seconds).answer()))
        except (Unavailable, Rejected, ValueError) as error:
            raise LedgerUnavailable(str(error)) from error

    def close(self) -> None:
        """Read the answers that nobody has read yet, and let go of the connections."""
        for ticket in [one() for one in self._tickets]:
            try:
                if ticket is not None:
                    ticket.outcome()
            except LedgerUnavailable:
                pass  # its owner hears of it when asking for the outcome
        self._closed = True
        self._service.close()

    def put(self, row: UsageEvent, over: Stored | None, seconds: float) -> Write:
        """Start to write `row` on the condition that the table still holds `over`, whose holds it keeps."""
        body = f"{{{self.put_body(row, over, over.holds if over else '')}}}"
        return Write(self.start("PutItem", body, seconds))

    def put_body(self, row: UsageEvent, over: Stored | None, holds: str) -> str:
        """The members of a conditional put of `row` with `holds`."""
        condition = ABSENT if over is None else UNMOVED % over.row.revision
        kept = f',"holds":{holds}' if holds else ""
        return (
            f'"TableName":{self._table},"ReturnValuesOnConditionCheckFailure":"ALL_OLD",'
            f'{condition},"Item":{{{_item(row)}{kept}}}'
        )

    def start(self, operation: str, body: str, seconds: float) -> Call:
        """Send one request to the service."""
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        return self._service.start(operation, body.encode(), seconds)

    def _give_back(self, row: UsageEvent, over: Stored, seconds: float) -> Write:
        from functions.metering.dynamodb_holds import give_back

        return give_back(self, row, over, seconds)


class Write:
    """One conditional write under way."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def seconds_left(self) -> float:
        """What is left of its time, once it has landed or not."""
        return self._call.seconds_left

    def landed(self) -> tuple[bool, Stored | Insufficient | None]:
        """Whether it was written, and if not, what stands in its way."""
        try:
            self._call.answer()
        except Rejected as refusal:
            if refusal.code != "ConditionalCheckFailedException":
                raise LedgerUnavailable(str(refusal)) from refusal
            return False, stored_of(refusal.details)
        except Unavailable as error:
            raise LedgerUnavailable(str(error)) from error
        return True, None


class _Append:
    """The ticket: a write under way, and the outcome that holds if it lands."""

    def __init__(
        self, ledger: DynamoDbLedger, event: UsageEvent, holds: Holds | None, seconds: float
    ) -> None:
        self._ledger, self._event, self._holds = ledger, event, holds
        self._settled: Outcome | None = None
        self._judge(None, seconds)

    def outcome(self) -> Outcome:
        """Read the answer; where another row was there first, judge it and write what is due."""
        while self._settled is None:
            landed, found = self._write.landed()
            if landed:
                self._settled = self._if_landed
            elif isinstance(found, Insufficient):
                self._settled = found
            else:
                self._judge(found, self._write.seconds_left)
        return self._settled

    def on_settled(self, callback: Callable[[], None]) -> None:
        """Call back at once: there is no thread here that could wait in the caller's place."""
        callback()

    def _judge(self, stored: Stored | None, seconds: float) -> None:
        write, outcome = settle(stored.row if stored else None, self._event)
        if write is None:
            self._settled = outcome
            return
        self._if_landed = outcome
        if self._holds is not None and isinstance(outcome, Billed):
            from functions.metering.dynamodb_holds import take

            self._write = take(self._ledger, write, stored, self._holds(write), seconds)
        else:
            self._write = self._ledger.put(write, stored, seconds)


def _item(row: UsageEvent) -> str:
    return ITEM % (
        quoted(row.call_id),
        ",".join([FORMS["S"] % quoted(attempt) for attempt in row.attempts]),
        _same(row[SAME]),
        row.units,
        row.bytes_in,
        row.started_at,
        quoted(row.fingerprint),
        quoted(row.state),
        row.revision,
        quoted(row.nonce),
    )


@lru_cache(maxsize=256)
def _same(values: tuple[str, ...]) -> str:
    return SAME_MEMBERS % tuple(map(quoted, values))


def stored_of(answer: dict[str, Any]) -> Stored | None:
    """What a GetItem answer or a refused put has, None where there is nothing."""
    item = answer.get("Item")
    if not item:
        return None
    try:
        return Stored(row_of(item), dumps(item["holds"]) if "holds" in item else "")
    except ValueError as error:
        raise LedgerUnavailable(str(error)) from error


def row_of(item: dict[str, Any]) -> UsageEvent:
    """The row in a DynamoDB item; ValueError if it is none."""
    try:
        item = {"nonce": {"S": ""}, **item}  # rows from before there were receipts have none
        values = {name: item[name][kind] for name, kind in KINDS.items()}
        values |= {name: int(values[name]) for name in NUMBERS}
        values["attempts"] = tuple(attempt["S"] for attempt in values["attempts"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("the table holds something else than a usage row under this call") from error
    return UsageEvent(**values)
