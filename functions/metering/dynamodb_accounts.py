"""Accounts in DynamoDB: their journal, posted in one transaction with the balance that calls hold from.

A function that only reads needs the rights GetItem, Query and Scan on the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps, loads
from json.encoder import encode_basestring_ascii as quoted

from functions.aws.service import JsonService, Rejected, Unavailable
from functions.metering.accounts import Entry, Overdrawn, same
from functions.metering.dynamodb_holds import (
    BALANCE,
    Pauses,
    balance_of,
    change,
    failed,
    passes,
    reasons,
    transaction,
)
from functions.metering.ledger import LedgerUnavailable
from models.typed import Any

SECONDS = 5.0
ENTRY = "entry#"


class DynamoDbAccounts:
    """Implements Accounts over one table. Threads may share it."""

    def __init__(self, table: str, service: JsonService) -> None:
        """`service` is DynamoDB in the table's region."""
        self._service = service
        self._table = table

    def post(self, account: str, entry: Entry) -> Entry:
        """Post an entry once; EntryConflict, Overdrawn."""
        item = (
            f'{_key(account, ENTRY + entry.entry_id)},"amount":{{"N":"{entry.amount}"}},'
            f'"reason":{{"S":{quoted(entry.reason)}}},"made_at":{{"N":"{entry.made_at}"}}'
        )
        put = (
            f'{{"Put":{{"TableName":{quoted(self._table)},"Item":{{{item}}},'
            '"ConditionExpression":"attribute_not_exists(account)",'
            '"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}'
        )
        body = [put, change(self._table, account, entry.amount, 0 if entry.amount < 0 else None)]
        pauses = Pauses(SECONDS)
        while True:
            try:
                self._answer("TransactWriteItems", transaction(body))
            except Rejected as refusal:
                found = reasons(refusal)
                if failed(found[0]):
                    return same(_entry(found[0]["Item"]), entry)
                if not passes(found):
                    if failed(found[1]):
                        raise Overdrawn(account, balance_of(found[1])) from None
                    raise LedgerUnavailable(str(refusal)) from refusal
            else:
                return entry
            pauses.wait()

    def count(self, account: str, amount: int) -> None:
        """Add to a balance under no condition and without an entry, at least once: for soft limits."""
        update = loads(change(self._table, account, amount))["Update"]
        self._asked("UpdateItem", update)

    def balance(self, account: str) -> int:
        """What is left."""
        key = loads(f"{{{_key(account, BALANCE)}}}")
        return balance_of(self._asked("GetItem", {"ConsistentRead": True, "Key": key}))

    def entries(self, account: str) -> list[Entry]:
        """What was posted, oldest first."""
        asked = {
            "ConsistentRead": True,
            "KeyConditionExpression": "account = :account AND begins_with(entry, :entry)",
            "ExpressionAttributeValues": {":account": {"S": account}, ":entry": {"S": ENTRY}},
        }
        found = [_entry(item) for item in self._pages("Query", asked)]
        return sorted(found, key=lambda entry: (entry.made_at, entry.entry_id))

    def balances(self, prefix: str) -> Iterator[tuple[str, int]]:
        """All accounts whose name begins so: it scans the table."""
        asked = {
            "FilterExpression": "begins_with(account, :prefix) AND entry = :balance",
            "ExpressionAttributeValues": {":prefix": {"S": prefix}, ":balance": {"S": BALANCE}},
        }
        for item in self._pages("Scan", asked):
            yield item["account"]["S"], int(item["balance"]["N"])

    def close(self) -> None:
        """Let go of the connections."""
        self._service.close()

    def _pages(self, operation: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        while True:
            answer = self._asked(operation, {**asked, **start})
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _asked(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._answer(operation, dumps({"TableName": self._table, **asked}))
        except Rejected as refusal:
            raise LedgerUnavailable(str(refusal)) from refusal

    def _answer(self, operation: str, body: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = loads(self._service.start(operation, body.encode(), SECONDS).answer())
        except (Unavailable, ValueError) as error:
            raise LedgerUnavailable(str(error)) from error
        return answer


def _key(account: str, entry: str) -> str:
    return f'"account":{{"S":{quoted(account)}}},"entry":{{"S":{quoted(entry)}}}'


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(
        item["entry"]["S"].removeprefix(ENTRY),
        int(item["amount"]["N"]),
        item["reason"]["S"],
        int(item["made_at"]["N"]),
    )
