"""API keys behind API Gateway, looked up by the gateway's own id of the key that it let in.

One table with the key `id` (a string) holds

    gateway#<api key id>    the key's record, naming its plan; `customer` is the key of the index
                            "by-customer", which has all attributes
    key#<key id>            the gateway's id of that key
    plan#<name>             the version of the plan that is in force, and its usage plan

The gateway has compared the key already, so a look-up needs its id alone; a gateway key without a
record opens nothing. Records are read consistently and kept for some seconds, so a revoked key is shut
everywhere that much later at most. Keys are written by `infra/cloud/keys.py`, no function may.
"""

from __future__ import annotations

from time import time

from functions.access.keys import KeyRecord, LookupUnavailable, Plan
from functions.aws.service import JsonService, Rejected, Unavailable
from models.strict_json import loads, quoted
from models.typed import Any

BY_CUSTOMER = "by-customer"
CACHED = 10_000
SECONDS = 2.0

Item = dict[str, dict[str, Any]]
_NEVER = (0.0, None)


class GatewayKeys:
    """Reads the table for a function. Threads may share it; LookupUnavailable where it can't be read."""

    def __init__(self, table: str, service: JsonService, cache_seconds: float) -> None:
        """Nothing is read before the first look-up."""
        self._service = service
        self._table = quoted(table)
        self._cache_seconds = cache_seconds
        self._records: dict[str, tuple[float, KeyRecord]] = {}
        self._plans: dict[str, tuple[float, Plan]] = {}

    def find(self, gateway_id: str) -> KeyRecord | None:
        """The record of the key with this id at the gateway, usable or not."""
        # Wall clock: the monotonic one may stand still while a sandbox is frozen.
        now = time()
        at, record = self._records.get(gateway_id, _NEVER)
        if record is not None and 0 <= now - at < self._cache_seconds:
            return record
        item = self._get(f"gateway#{gateway_id}") if gateway_id else None
        if item is None:
            self._records.pop(gateway_id, None)
            return None
        at, plan = self._plan(item["plan"]["S"], now)
        record = record_of(item, plan)
        self._keep(self._records, gateway_id, (at, record))
        return record

    def of_customer(self, customer: str) -> list[KeyRecord]:
        """All records of a customer, oldest first, as the index has them: it may lag by a second."""
        found: list[KeyRecord] = []
        page = ""
        while True:
            answer = self._answer(
                "Query",
                f'{{"TableName":{self._table},"IndexName":"{BY_CUSTOMER}",{page}'
                '"KeyConditionExpression":"customer = :c",'
                f'"ExpressionAttributeValues":{{":c":{{"S":{quoted(customer)}}}}}}}',
            )
            found += [record_of(item, self._plan(item["plan"]["S"], time())[1]) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return sorted(found, key=lambda record: (record.created_at, record.key_id))
            last = ",".join(
                f'"{name}":{{"S":{quoted(value["S"])}}}' for name, value in answer["LastEvaluatedKey"].items()
            )
            page = f'"ExclusiveStartKey":{{{last}}},'

    def plan(self, name: str) -> Plan:
        """The plan of this name as it is in force."""
        return self._plan(name, time())[1]

    def _plan(self, name: str, now: float) -> tuple[float, Plan]:
        """A plan, and since when it is known: keys share it, so it is read once for all of them."""
        held = self._plans.get(name)
        if held is None or not 0 <= now - held[0] < self._cache_seconds:
            item = self._get(f"plan#{name}")
            if item is None:
                raise LookupUnavailable(f"plan {name}, which a key is on, is not in the access table")
            held = now, plan_of(item)
            self._keep(self._plans, name, held)
        return held

    def _keep(self, cache: dict[str, Any], name: str, value: Any) -> None:
        if len(cache) >= CACHED:
            cache.clear()
        cache[name] = value

    def _get(self, item_id: str) -> Item | None:
        key = f'{{"id":{{"S":{quoted(item_id)}}}}}'
        answer = self._answer("GetItem", f'{{"TableName":{self._table},"ConsistentRead":true,"Key":{key}}}')
        return answer.get("Item") or None

    def _answer(self, operation: str, body: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = loads(self._service.start(operation, body.encode(), SECONDS).answer())
        except (Unavailable, Rejected, ValueError) as error:
            raise LookupUnavailable(f"the access table can't be read: {error}") from error
        return answer


def record_of(item: Item, plan: Plan) -> KeyRecord:
    """The record in a gateway# item; LookupUnavailable where it is none."""
    try:
        return KeyRecord(
            key_id=item["key_id"]["S"],
            digest=item["digest"]["S"],
            customer=item["customer"]["S"],
            plan=plan,
            models=tuple(name["S"] for name in item["models"]["L"]),
            created_at=int(item["created_at"]["N"]),
            expires_at=int(item["expires_at"]["N"]),
            revoked_at=int(item["revoked_at"]["N"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LookupUnavailable("the access table holds something else than a key record") from error


def record_item(record: KeyRecord, gateway_id: str) -> Item:
    """The gateway# item of a record. Its plan is named, not copied: a key follows its plan's versions."""
    return {
        "id": {"S": f"gateway#{gateway_id}"},
        "key_id": {"S": record.key_id},
        "digest": {"S": record.digest},
        "customer": {"S": record.customer},
        "plan": {"S": record.plan.name},
        "models": {"L": [{"S": name} for name in record.models]},
        "created_at": {"N": str(record.created_at)},
        "expires_at": {"N": str(record.expires_at)},
        "revoked_at": {"N": str(record.revoked_at)},
    }


def plan_of(item: Item) -> Plan:
    """The limits in a plan# item; LookupUnavailable where it is none."""
    try:
        return Plan(
            item["name"]["S"],
            item["version"]["S"],
            float(item["rate"]["N"]),
            int(item["burst"]["N"]),
            int(item["quota"]["N"]),
            item["holds"]["S"] if "holds" in item else "",  # items of an earlier release have none
            item["counts"]["S"] if "counts" in item else "",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LookupUnavailable("the access table holds something else than a plan") from error


def plan_item(plan: Plan, usage_plan: str) -> Item:
    """The plan# item of a plan in force, with the gateway's id of its usage plan."""
    return {
        "id": {"S": f"plan#{plan.name}"},
        "name": {"S": plan.name},
        "version": {"S": plan.version},
        "rate": {"N": str(plan.rate)},
        "burst": {"N": str(plan.burst)},
        "quota": {"N": str(plan.quota)},
        "holds": {"S": plan.holds},
        "counts": {"S": plan.counts},
        "usage_plan": {"S": usage_plan},
    }
