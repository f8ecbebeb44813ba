"""Alerts: a customer has used so much of a month's quota or spend cap, in per cent that the plan names.

What is used of a hard limit is an account's balance, exact to the call. What is used of a soft one is
counted after the fact, by whoever reads the rows: it lags and is never billed. Each alert is one message,
whose id its limit, month and percentage decide, so that it goes out once however often it is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from functions.access.keys import Plan
from functions.metering.event import UsageEvent
from functions.metering.terms import CAP, QUOTA, amount_text, held, in_force
from functions.metering.usage import UsageBucket
from functions.webhooks.outbox import Message, Outbox

TYPES = {QUOTA: "quota.threshold", CAP: "spend_cap.threshold"}
TEST = "webhook.test"


class Used(NamedTuple):
    """What a customer has used of a limit (QUOTA or CAP) on a plan in a month: calls, or nanos."""

    limit: str
    customer: str
    plan: str
    month: str
    amount: int


def used_of(account: str, balance: int) -> Used:
    """What an account of a limit says."""
    limit, customer, plan, month = account.split("#")
    return Used(limit, customer, plan, month, -balance)


def counted(buckets: Iterable[UsageBucket], plans: Iterable[Plan]) -> list[Used]:
    """What is used of soft limits, as usage says: by the terms in force when each bucket began."""
    texts = {plan.name: plan.counts for plan in plans if plan.counts}
    summed: dict[str, int] = {}
    for bucket in buckets:
        if text := texts.get(bucket.plan.partition("@")[0]):
            row = UsageEvent(
                "", (), "", bucket.customer, bucket.plan, bucket.model, bucket.version, bucket.kind,
                bucket.units, 0, bucket.first, "",
            )  # fmt: skip
            for hold in held(text, row, bucket.calls):
                summed[hold.account] = summed.get(hold.account, 0) + hold.amount
    return [used_of(account, -amount) for account, amount in summed.items()]


def alerts(used: Iterable[Used], plans: Iterable[Plan], now_ms: int) -> Iterator[Message]:
    """The messages that are due by what is used; most of them went out long ago."""
    known = {plan.name: plan for plan in plans}
    for one in used:
        plan = known.get(one.plan)
        if plan is None:
            continue
        for text in (plan.holds, plan.counts):
            terms = in_force(text, now_ms)
            if one.limit in terms:
                for percent in terms["alert_at"]:
                    if one.amount * 100 >= percent * terms[one.limit]:
                        yield _message(one, percent, terms[one.limit], hard=text == plan.holds, now_ms=now_ms)


def announce(messages: Iterable[Message], outbox: Outbox) -> int:
    """Put them in for those who want them; gives how many are new."""
    endpoints = outbox.endpoints()
    return sum(outbox.put(message, [e for e in endpoints if e.wants(message)]) for message in messages)


def _message(used: Used, percent: int, most: int, *, hard: bool, now_ms: int) -> Message:
    identity = f"{'#'.join(used[:4])}#{percent}#{most}".encode()
    shown = str if used.limit == QUOTA else amount_text
    data: dict[str, Any] = {
        "customer": used.customer,
        "plan": used.plan,
        "month": used.month,
        "percent": percent,
        "most": shown(most),
        "used": shown(used.amount),
        "hard": hard,
    }
    return Message(f"msg_{sha256(identity).hexdigest()[:27]}", TYPES[used.limit], used.customer, now_ms, data)
