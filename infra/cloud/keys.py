"""API keys of a stage: issued, rotated and revoked at run time, at the gateway and in our table.

A key is three things: a key at the gateway, our record under its id, and its place in a usage plan. The
gateway lets a key in only once it is in a usage plan, and we only if it has a record; so the record is
written before the plan is joined, and what a crash leaves behind opens nothing. Revoking closes the record
first, then the gateway's key. The gateway keeps the value of a key; it is never asked for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from functions.access import keys
from functions.access.dynamodb import BY_CUSTOMER, Item, plan_item, plan_of, record_item, record_of
from functions.access.keys import KeyRecord, LookupUnavailable, Plan
from functions.access.sqlite import NotRotatable, UnknownKey, UnknownPlan


class StageKeys:
    """Keys of one stage and the plans they are on; `close` lets go of nothing.

    Other failures are botocore's, as they come.
    """

    def __init__(self, gateway: Any, dynamodb: Any, table: str, usage_plans: Mapping[str, str]) -> None:
        """boto3 clients of API Gateway and DynamoDB; `usage_plans` has the gateway's ids by plan."""
        self._gateway, self._dynamodb, self._table = gateway, dynamodb, table
        self._usage_plans = usage_plans

    def issue(
        self, customer: str, plan: str, models: Sequence[str] = (), expires_at: int = 0
    ) -> tuple[str, KeyRecord]:
        """Make a key; what comes back in clear is kept by nobody but the gateway. UnknownPlan."""
        item = self._get(f"plan#{plan}")
        if item is None:
            known = ", ".join(found.name for found in self.plans()) or "none yet"
            raise UnknownPlan(f"no plan is named {plan!r} on this stage (plans: {known})")
        key = keys.generate()
        digest = keys.digest(key)
        assert digest is not None
        key_id = "key_" + "".join(secrets.choice(keys.ALPHABET) for _ in range(16))
        record = KeyRecord(key_id, digest, customer, plan_of(item), tuple(models), _now_ms(), expires_at)
        made = self._gateway.create_api_key(name=key_id, value=key, enabled=True)
        pointer = {"id": {"S": f"key#{key_id}"}, "gateway_id": {"S": made["id"]}}
        self._dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": self._table, "Item": new}}
                for new in (record_item(record, made["id"]), pointer)
            ]
        )
        self._gateway.create_usage_plan_key(
            usagePlanId=item["usage_plan"]["S"], keyId=made["id"], keyType="API_KEY"
        )
        return key, record

    def rotate(self, key_id: str, grace_ms: int) -> tuple[str, KeyRecord]:
        """Make a key like this one, which expires after the grace period at the latest.

        The new one ends when the old one would have. UnknownKey; NotRotatable says why not.
        """
        if grace_ms < 0:
            raise ValueError(f"a grace period of 0 milliseconds or more was expected, not {grace_ms}")
        item, old, now = self._item(key_id), self.get(key_id), _now_ms()
        if not old.usable(now):
            state = "revoked" if old.revoked_at else "expired"
            raise NotRotatable(f"{key_id} is {state}: issue a new key instead")
        if "successor" in item:
            raise _rotated(key_id, item["successor"]["S"])
        key, new = self.issue(old.customer, old.plan.name, old.models, old.expires_at)
        ends = min(now + grace_ms, old.expires_at or now + grace_ms)
        try:
            self._update(
                item["id"]["S"],
                "SET expires_at = :ends, successor = :new",
                {":ends": {"N": str(ends)}, ":new": {"S": new.key_id}, ":open": {"N": "0"}},
                "attribute_not_exists(successor) AND revoked_at = :open",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:  # somebody was faster
            self.revoke(new.key_id)
            successor = self._item(key_id).get("successor")
            if successor:
                raise _rotated(key_id, successor["S"]) from None
            raise NotRotatable(f"{key_id} is revoked: issue a new key instead") from None
        return key, new

    def revoke(self, key_id: str) -> KeyRecord:
        """Close the key for good, everywhere once functions have forgotten its record. UnknownKey.

        Revoking twice changes nothing.
        """
        item = self._item(key_id)
        if item["revoked_at"]["N"] == "0":
            self._update(item["id"]["S"], "SET revoked_at = :now", {":now": {"N": str(_now_ms())}})
        with suppress(self._gateway.exceptions.NotFoundException):  # deleted by hand: it opens nothing
            self._gateway.update_api_key(
                apiKey=_gateway_id(item),
                patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}],
            )
        return self.get(key_id)

    def get(self, key_id: str) -> KeyRecord:
        """One record by its id; UnknownKey."""
        item = self._item(key_id)
        return record_of(item, self._plan(item["plan"]["S"]))

    def list(self, customer: str | None = None) -> Sequence[KeyRecord]:
        """Records of all keys or of one customer's, oldest first."""
        plans = {plan.name: plan for plan in self.plans()}
        items = self._of_customer(customer) if customer else self._scan("gateway#")
        found = [record_of(item, plans[item["plan"]["S"]]) for item in items]
        return sorted(found, key=lambda record: (record.created_at, record.key_id))

    def by_gateway_id(self) -> dict[str, str]:
        """Our ids of all keys by the gateway's, which are what its access log has."""
        return {_gateway_id(item): item["key_id"]["S"] for item in self._scan("gateway#")}

    def set_plan(self, plan: Plan) -> None:
        """Put a plan version in force: all keys on the plan of this name follow. UnknownPlan."""
        usage_plan = self._usage_plans.get(plan.name)
        if usage_plan is None:
            raise UnknownPlan(f"plan {plan.name} is not on this stage yet: payphone deploy")
        self._dynamodb.put_item(TableName=self._table, Item=plan_item(plan, usage_plan))

    def plans(self) -> Sequence[Plan]:
        """The plan versions in force, by name; also those that service.toml no longer has."""
        return sorted(map(plan_of, self._scan("plan#")))

    def close(self) -> None:
        """Nothing is held open."""

    def _item(self, key_id: str) -> Item:
        pointer = self._get(f"key#{key_id}")
        item = self._get(f"gateway#{pointer['gateway_id']['S']}") if pointer else None
        if item is None:
            raise UnknownKey(key_id)
        return item

    def _plan(self, name: str) -> Plan:
        item = self._get(f"plan#{name}")
        if item is None:
            raise LookupUnavailable(f"plan {name}, which a key is on, is not in {self._table}")
        return plan_of(item)

    def _get(self, item_id: str) -> Item | None:
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"id": {"S": item_id}}, ConsistentRead=True
        )
        found: Item | None = answer.get("Item")
        return found

    def _update(
        self, item_id: str, change: str, values: Mapping[str, Mapping[str, str]], condition: str = ""
    ) -> None:
        condition = " AND ".join(filter(None, ["attribute_exists(id)", condition]))
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"id": {"S": item_id}},
            UpdateExpression=change,
            ExpressionAttributeValues=values,
            ConditionExpression=condition,
        )

    def _scan(self, prefix: str) -> Iterator[Item]:
        """All items of a kind: an account has 10,000 keys at most, some megabytes."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(id, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _of_customer(self, customer: str) -> Iterator[Item]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_CUSTOMER,
            KeyConditionExpression="customer = :customer",
            ExpressionAttributeValues={":customer": {"S": customer}},
        )
        for page in pages:
            yield from page["Items"]


def _gateway_id(item: Item) -> str:
    return str(item["id"]["S"]).removeprefix("gateway#")


def _rotated(key_id: str, successor: str) -> NotRotatable:
    return NotRotatable(f"{key_id} was rotated already: rotate its successor {successor}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
