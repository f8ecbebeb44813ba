"""The outbox of a stage: a DynamoDB table, and the secrets as encrypted parameters of Systems Manager.

The table has the key (`kind`, `id`):

    endpoint   an endpoint, by its id
    message    that a message was put in
    waiting    a delivery that is still to be made, by message and endpoint
    ended      one that was made or given up; it expires after a month

Parameters are SecureStrings under the account's own key of Systems Manager, which costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from functions.aws.service import JsonService, Rejected, Unavailable
from functions.webhooks.outbox import WAITING, Delivery, Endpoint, Message

SECONDS = 5.0
KEPT_SECONDS = 31 * 24 * 3600
MOST_ENDPOINTS = 90  # a transaction has 100 items at most, and one is the message


class OutboxUnavailable(Exception):
    """The table or the parameters can't be read or written just now."""


class TooManyEndpoints(ValueError):
    """A message goes to all its endpoints at once, and those are too many."""


class DynamoDbOutbox:
    """Implements Outbox over one table. Threads may share it."""

    def __init__(self, table: str, service: JsonService) -> None:
        """`service` is DynamoDB in the table's region."""
        self._table, self._service = table, service

    def endpoints(self) -> list[Endpoint]:
        """All of them, oldest first."""
        found = [Endpoint(**_read(item, "events")) for item in self._query("endpoint")]
        return sorted(found, key=lambda endpoint: (endpoint.created_at, endpoint.endpoint_id))

    def save(self, endpoint: Endpoint) -> None:
        """Add or replace it."""
        others = [each for each in self.endpoints() if each.endpoint_id != endpoint.endpoint_id]
        if len(others) >= MOST_ENDPOINTS:
            raise TooManyEndpoints(f"there are {MOST_ENDPOINTS} endpoints, and no more can be: remove one")
        self._ask("PutItem", self._put("endpoint", endpoint.endpoint_id, endpoint._asdict()))

    def remove(self, endpoint_id: str) -> None:
        """Drop it; what is on its way to it is given up when it is due."""
        self._ask("DeleteItem", self._at("endpoint", endpoint_id))

    def put(self, message: Message, to: Sequence[Endpoint]) -> bool:
        """Put a message in with its deliveries, once."""
        key = self._at("message", message.message_id)
        if self._ask("GetItem", {**key, "ConsistentRead": True}).get("Item"):
            return False
        once = self._put("message", message.message_id, {"type": message.type, "made_at": message.made_at})
        items = [{"Put": {**once, "ConditionExpression": "attribute_not_exists(id)"}}]
        for endpoint in to:
            delivery = Delivery(message.message_id, endpoint.endpoint_id, message.body, message.made_at)
            items.append({"Put": self._put(WAITING, _id(delivery), _written(delivery))})
        try:
            self._asked("TransactWriteItems", {"TransactItems": items})
        except Rejected as refusal:
            if refusal.code == "TransactionCanceledException":  # another was here first
                return False
            raise OutboxUnavailable(str(refusal)) from refusal
        return True

    def due(self, now_ms: int) -> list[Delivery]:
        """What waits to be sent by now."""
        waiting = [_delivery(item) for item in self._query(WAITING)]
        return sorted((each for each in waiting if each.due_at <= now_ms), key=lambda each: each.due_at)[:100]

    def record(self, delivery: Delivery) -> None:
        """Keep what came of an attempt."""
        if delivery.state == WAITING:
            self._ask("PutItem", self._put(WAITING, _id(delivery), _written(delivery)))
            return
        ended = {**_written(delivery), "expires_at": delivery.due_at // 1000 + KEPT_SECONDS}
        items = [
            {"Delete": self._at(WAITING, _id(delivery))},
            {"Put": self._put("ended", _id(delivery), ended)},
        ]
        self._ask("TransactWriteItems", {"TransactItems": items})

    def deliveries(self) -> list[Delivery]:
        """The latest."""
        found = [_delivery(item) for kind in (WAITING, "ended") for item in self._query(kind)]
        return sorted(found, key=lambda each: each.due_at, reverse=True)[:100]

    def close(self) -> None:
        """Let go of the connections."""
        self._service.close()

    def _at(self, kind: str, name: str) -> dict[str, Any]:
        return {"TableName": self._table, "Key": {"kind": {"S": kind}, "id": {"S": name}}}

    def _put(self, kind: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = {"kind": {"S": kind}, "id": {"S": name}}
        for field, value in fields.items():
            if isinstance(value, int):
                item[field] = {"N": str(value)}
            else:
                item[field] = {"S": json.dumps(value) if isinstance(value, (tuple, list)) else value}
        return {"TableName": self._table, "Item": item}

    def _query(self, kind: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "kind = :kind",
            "ExpressionAttributeValues": {":kind": {"S": kind}},
        }
        while True:
            answer = self._ask("Query", asked)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _ask(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._asked(operation, asked)
        except Rejected as refusal:
            raise OutboxUnavailable(str(refusal)) from refusal

    def _asked(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        return _answer(self._service, operation, asked)


class ParameterVault:
    """Implements Vault: a SecureString a secret, below `prefix`, which ends in a slash."""

    def __init__(self, prefix: str, service: JsonService) -> None:
        """`service` is `parameters_in` a region."""
        self._prefix, self._service = prefix, service

    def keep(self, name: str, secret: str) -> str:
        """Write the parameter, over the one that may be there."""
        at = f"{self._prefix}{name}"
        self._ask("PutParameter", {"Name": at, "Value": secret, "Type": "SecureString", "Overwrite": True})
        return at

    def reveal(self, kept: str) -> str:
        """Read it, decrypted."""
        answer = self._ask("GetParameter", {"Name": kept, "WithDecryption": True})
        return str(answer["Parameter"]["Value"])

    def forget(self, kept: str) -> None:
        """Delete it."""
        self._ask("DeleteParameter", {"Name": kept})

    def _ask(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return _answer(self._service, operation, asked)
        except Rejected as refusal:
            raise OutboxUnavailable(refusal.code) from None  # its message might repeat what was sent


def _answer(service: JsonService, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = service.start(operation, json.dumps(asked).encode(), SECONDS).answer()
        found: dict[str, Any] = json.loads(answer or b"{}")
    except (Unavailable, ValueError) as error:
        raise OutboxUnavailable(str(error)) from error
    return found


def _id(delivery: Delivery) -> str:
    return f"{delivery.message_id}#{delivery.endpoint_id}"


def _written(delivery: Delivery) -> dict[str, Any]:
    return {**delivery._asdict(), "body": delivery.body.decode()}


def _delivery(item: dict[str, Any]) -> Delivery:
    fields = _read(item)
    fields.pop("expires_at", None)
    return Delivery(**{**fields, "body": fields["body"].encode()})


def _read(item: dict[str, Any], *lists: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in item.items():
        if name in ("kind", "id"):
            continue
        found[name] = int(value["N"]) if "N" in value else value["S"]
        if name in lists:
            found[name] = tuple(json.loads(found[name]))
    return found
