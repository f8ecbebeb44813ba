"""What an open month may come to: its calls so far, stretched over its whole length and priced."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from functions.billing.invoices import Draft, Held, Nothing, Past
from functions.billing.plans import PlanBook
from functions.metering.usage import UsageReader, month_span


def projected_totals(
    month: str,
    usage: UsageReader,
    book: PlanBook,
    held: Mapping[str, Held],
    customer: str,
    now_ms: int,
    *,
    past: Past | None = None,
) -> dict[str, Decimal]:
    """The total by currency if calls go on as they did since the month began; {} unless it is running.

    Fees, free calls and tiers are those of the whole month, so it is not the total so far in proportion.
    A day's free calls go to its models in the order of their first calls: this is an estimate.
    """
    start, end = month_span(month)
    if not start < now_ms < end:
        return {}
    plan_of = cache(book.get)
    drafts: dict[str, Draft] = {}

    def draft_of(version: str) -> Draft:
        currency = plan_of(version).currency
        return drafts.setdefault(currency, Draft(month, customer, currency, plan_of, past or Nothing()))

    def stretched(count: int) -> int:
        return -(-count * (end - start) // (now_ms - start))

    for bucket in sorted(usage.buckets(start, end, customer), key=lambda bucket: bucket.first):
        more = bucket._replace(calls=stretched(bucket.calls), units=stretched(bucket.units))
        draft_of(bucket.plan).add_day([more])
    for version, since in sorted(held.get(customer, {}).items()):
        draft_of(version).hold(version, since)
    return {currency: draft.invoice().total for currency, draft in drafts.items()}
