"""API Gateway's account of its usage plans: GetUsage, and key values shown only to who asks for them."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from ministack.services import apigateway_v1 as v1

USAGE_PATH = re.compile(r"/usageplans/([^/]+)/usage")
KEY_PATH = re.compile(r"/apikeys(/[^/]+)?")

# (plan, key) -> {UTC day: [calls, calls left of the quota]}
_used: dict[tuple[str, str], dict[str, list[int]]] = {}


def usage(plan: str, start: str, end: str, key: str | None) -> dict[str, Any]:
    """Calls of a plan by key and UTC day, `end` included, as GetUsage gives them."""
    first, last = datetime.date.fromisoformat(start), datetime.date.fromisoformat(end)
    days = [(first + datetime.timedelta(n)).isoformat() for n in range((last - first).days + 1)]
    values = {
        owner: [counted.get(day, [0, 0]) for day in days]
        for (of_plan, owner), counted in _used.items()
        if of_plan == plan and key in (None, owner)
    }
    return {"usagePlanId": plan, "startDate": start, "endDate": end, "values": values}


def without_values(document: dict[str, Any]) -> dict[str, Any]:
    """The same API keys without their values."""
    if "item" in document:
        return {**document, "item": [without_values(key) for key in document["item"]]}
    return {name: value for name, value in document.items() if name != "value"}


def install() -> None:
    """Count calls, and answer the two control-plane calls that ministack lacks or gets wrong."""
    check_quota, handle = v1._check_quota, v1.handle_request

    def counted(key: dict | None, api: str, stage: str) -> object:
        error = check_quota(key, api, stage)
        if key is not None and error is None:
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            for plan_id, plan, _ in v1._usage_plans_for_key(key["id"], api, stage):
                day = _used.setdefault((plan_id, key["id"]), {}).setdefault(today, [0, 0])
                limit, spent = (
                    (plan.get("quota") or {}).get("limit"),
                    v1._quota_state.get((plan_id, key["id"])),
                )
                day[0] += 1
                day[1] = int(limit) - spent[0] if limit and spent else 0
        return error

    async def answered(method: str, path: str, headers: dict, body: bytes, query: dict) -> tuple:
        found = USAGE_PATH.fullmatch(path) if method == "GET" else None
        if found:
            start, end = v1._qp(query, "startDate"), v1._qp(query, "endDate")
            return v1._v1_response(usage(found[1], start, end, v1._qp(query, "keyId")))
        status, answer, content = await handle(method, path, headers, body, query)
        asked = v1._qp(query, "includeValue", v1._qp(query, "includeValues", "false"))
        if method == "GET" and status == 200 and KEY_PATH.fullmatch(path) and asked != "true":
            content = json.dumps(without_values(json.loads(content))).encode()
        return status, answer, content

    v1._check_quota = counted
    v1.handle_request = answered
