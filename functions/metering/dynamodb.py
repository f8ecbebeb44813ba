"""The ledger in DynamoDB: one conditional put a call, sent before inference and acknowledged after it.

The table's key is `call_id`; an item is the row, field by field, under 1 kB and hence one write unit.
`append` puts the row if there is none. If there is one, DynamoDB's refusal carries it: `settle` judges,
and what it wants written is put on the condition that `revision` has not moved, again and again
until nobody came between. A resend that finds its own first sending is judged by the same rule.

A row is always put whole, so an `expires_at` that was set when it was sealed goes when it changes: a row
expires only as it was sealed. A function that only appends and voids needs the rights PutItem and GetItem.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from json import loads
from json.encoder import encode_basestring_ascii as quoted
from weakref import WeakSet

from functions.aws.service import Call, JsonService, Rejected, Unavailable
from functions.metering.event import UsageEvent
from functions.metering.ledger import LedgerUnavailable, Outcome, Ticket, settle, voided
from models.typed import Any

NUMBERS = ("units", "bytes_in", "started_at", "revision")
KINDS = {name: "N" if name in NUMBERS else "L" if name == "attempts" else "S" for name in UsageEvent._fields}
FORMS = {"S": '{"S":%s}', "N": '{"N":"%d"}', "L": '{"L":[%s]}'}
ITEM = ",".join(f'"{name}":{FORMS[kind]}' for name, kind in KINDS.items())
ABSENT = '"ConditionExpression":"attribute_not_exists(call_id)"'
UNMOVED = '"ConditionExpression":"revision = :seen","ExpressionAttributeValues":{":seen":{"N":"%d"}}'


class DynamoDbLedger:
    """A Ledger in one table. Threads may share it; each append under way has a connection of its own."""

    def __init__(self, table: str, service: JsonService, deadline_ms: int = 3000) -> None:
        """`deadline_ms` bounds the waiting for one append or get; inference in between is not counted.

        A void reads and writes, so it may take twice as long.
        """
        self._service = service
        self._table = quoted(table)
        self._seconds = deadline_ms / 1000
        self._tickets: WeakSet[_Append] = WeakSet()
        self._closed = False

    def append(self, event: UsageEvent) -> Ticket:
        """Send the row; the ticket reads the answer."""
        ticket = _Append(self, event, self._seconds)
        self._tickets.add(ticket)
        return ticket

    def void(self, call_id: str, attempt: str) -> None:
        """Read the row and put it back as voided, unless it moves in between: then look again."""
        row, seconds = self.get(call_id), self._seconds
        while (write := voided(row, attempt)) is not None:
            call = self.put(write, row, seconds)
            landed, row = _landed(call)
            if landed:
                return
            seconds = call.seconds_left

    def get(self, call_id: str) -> UsageEvent | None:
        """Read one row, consistently."""
        key = FORMS["S"] % quoted(call_id)
        body = f'{{"TableName":{self._table},"ConsistentRead":true,"Key":{{"call_id":{key}}}}}'
        try:
            return _row(loads(self._start("GetItem", body, self._seconds).answer()))
        except (Unavailable, Rejected, ValueError) as error:
            raise LedgerUnavailable(str(error)) from error

    def close(self) -> None:
        """Read the answers that nobody has read yet, and let go of the connections."""
        for ticket in list(self._tickets):
            with suppress(LedgerUnavailable):  # its owner hears of it when asking for the outcome
                ticket.outcome()
        self._closed = True
        self._service.close()

    def put(self, row: UsageEvent, over: UsageEvent | None, seconds: float) -> Call:
        """Start to write `row` on the condition that the table still holds `over`."""
        condition = ABSENT if over is None else UNMOVED % over.revision
        body = (
            f'{{"TableName":{self._table},"ReturnValuesOnConditionCheckFailure":"ALL_OLD",'
            f'{condition},"Item":{{{_item(row)}}}}}'
        )
        return self._start("PutItem", body, seconds)

    def _start(self, operation: str, body: str, seconds: float) -> Call:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        return self._service.start(operation, body.encode(), seconds)


class _Append:
    """The ticket: a put under way, and the outcome that holds if it lands."""

    def __init__(self, ledger: DynamoDbLedger, event: UsageEvent, seconds: float) -> None:
        self._ledger, self._event = ledger, event
        self._settled: Outcome | None = None
        self._judge(None, seconds)

    def outcome(self) -> Outcome:
        """Read the answer; where another row was there first, judge it and write what is due."""
        while self._settled is None:
            landed, row = _landed(self._call)
            if landed:
                self._settled = self._if_landed
            else:
                self._judge(row, self._call.seconds_left)
        return self._settled

    def on_settled(self, callback: Callable[[], None]) -> None:
        """Call back at once: there is no thread here that could wait in the caller's place."""
        callback()

    def _judge(self, row: UsageEvent | None, seconds: float) -> None:
        write, outcome = settle(row, self._event)
        if write is None:
            self._settled = outcome
        else:
            self._call, self._if_landed = self._ledger.put(write, row, seconds), outcome


def _landed(call: Call) -> tuple[bool, UsageEvent | None]:
    """Whether a put was written, and if not, the row that stands in its way."""
    try:
        call.answer()
    except Rejected as refusal:
        if refusal.code != "ConditionalCheckFailedException":
            raise LedgerUnavailable(str(refusal)) from refusal
        return False, _row(refusal.details)
    except Unavailable as error:
        raise LedgerUnavailable(str(error)) from error
    return True, None


def _item(row: UsageEvent) -> str:
    return ITEM % (
        quoted(row.call_id),
        ",".join([FORMS["S"] % quoted(attempt) for attempt in row.attempts]),
        quoted(row.key_id),
        quoted(row.customer),
        quoted(row.plan),
        quoted(row.model),
        quoted(row.version),
        quoted(row.kind),
        row.units,
        row.bytes_in,
        row.started_at,
        quoted(row.fingerprint),
        quoted(row.state),
        row.revision,
        quoted(row.nonce),
    )


def _row(answer: dict[str, Any]) -> UsageEvent | None:
    """The row in a GetItem answer or a refused put, None where there is none."""
    item = answer.get("Item")
    if not item:
        return None
    try:
        return row_of(item)
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
