"""Usage for those who bill through somebody else: Stripe's meter events, AWS Marketplace's usage records.

Both count calls of rows that are billed here, and both can be sent again: a Stripe event carries an
identifier made of what it counts, and the Marketplace takes one record an hour, customer and
dimension. Sources: Stripe API reference, billing/meter_event; AWS Marketplace Metering Service API
reference, BatchMeterUsage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Protocol

from functions.metering.event import UsageEvent

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_RECORDS = 25  # of one BatchMeterUsage
STRIPE_OLDEST_MS = 35 * DAY_MS
MARKETPLACE_OLDEST_MS = 6 * HOUR_MS


class NotSent(Exception):
    """The other side did not take all of it; the message says what."""


class MarketplaceClient(Protocol):
    """boto3's client for `meteringmarketplace`."""

    def batch_meter_usage(self, *, ProductCode: str, UsageRecords: list[dict[str, Any]]) -> Any:  # noqa: N803 - AWS's names
        """Send up to 25 records."""


class StripeClient(Protocol):
    """stripe.StripeClient, of which only the meter events are used."""

    v1: Any


def stripe_events(
    rows: Iterable[UsageEvent], number: str, stripe_customer: str, event_name: str
) -> list[dict[str, Any]]:
    """The meter events of one invoice: calls by UTC day, model and kind. Money stays with Stripe's prices.

    The identifier is the same whenever the same invoice is exported, and Stripe refuses a second
    event of the same identifier for at least a day.
    """
    calls: Counter[tuple[int, str, str]] = Counter()
    last: dict[tuple[int, str, str], int] = {}
    for row in rows:
        group = (row.started_at // DAY_MS, row.model, row.kind)
        calls[group] += 1
        last[group] = max(last.get(group, 0), row.started_at)
    return [
        {
            "event_name": event_name,
            "identifier": sha256(f"{number}\0{day}\0{model}\0{kind}".encode()).hexdigest(),
            "timestamp": last[day, model, kind] // 1000,
            "payload": {
                "stripe_customer_id": stripe_customer,
                "value": str(calls[day, model, kind]),
                "model": model,
                "kind": kind,
            },
        }
        for day, model, kind in sorted(calls)
    ]


def send_to_stripe(client: StripeClient, events: Iterable[dict[str, Any]], now_ms: int) -> int:
    """Send meter events one by one; gives how many. NotSent before the first if one is too old for Stripe."""
    events = list(events)
    oldest = min((event["timestamp"] for event in events), default=now_ms // 1000)
    if oldest * 1000 < now_ms - STRIPE_OLDEST_MS:
        raise NotSent("Stripe takes no event that is over 35 days old: nothing was sent")
    for event in events:
        client.v1.billing.meter_events.create(params=event)
    return len(events)


def marketplace_records(
    rows: Iterable[UsageEvent], buyers: Mapping[str, str], dimensions: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Usage records by hour, buyer and dimension, in the order of time.

    `buyers` gives the Marketplace's CustomerIdentifier of our customers: who is not among them bought
    elsewhere. `dimensions` gives the product's dimension of a model. Stamped with the hour's start.
    """
    calls: Counter[tuple[int, str, str]] = Counter()
    for row in rows:
        if row.customer in buyers and row.model in dimensions:
            calls[row.started_at // HOUR_MS * HOUR_MS, buyers[row.customer], dimensions[row.model]] += 1
    for hour, buyer, dimension in sorted(calls):
        quantity = calls[hour, buyer, dimension]
        yield {
            "Timestamp": hour // 1000,
            "CustomerIdentifier": buyer,
            "Dimension": dimension,
            "Quantity": quantity,
        }


def send_to_marketplace(
    client: MarketplaceClient, product_code: str, records: Iterable[dict[str, Any]], now_ms: int
) -> int:
    """Send usage records, 25 a request; gives how many were taken.

    Only whole hours can be sent: the Marketplace takes one record an hour, and refuses a second one
    of another quantity. NotSent names what was not taken; sending again is safe.
    """
    records = list(records)
    for record in records:
        started = record["Timestamp"] * 1000
        if started < now_ms - MARKETPLACE_OLDEST_MS:
            raise NotSent("AWS Marketplace takes no record that is over 6 hours old: nothing was sent")
        if started + HOUR_MS > now_ms:
            raise NotSent("the current hour is not over: nothing was sent")
    refused: list[str] = []
    for first in range(0, len(records), MOST_RECORDS):
        batch = records[first : first + MOST_RECORDS]
        answer = client.batch_meter_usage(ProductCode=product_code, UsageRecords=batch)
        refused += [
            r["UsageRecord"]["CustomerIdentifier"] for r in answer["Results"] if r["Status"] != "Success"
        ]
        refused += [record["CustomerIdentifier"] for record in answer["UnprocessedRecords"]]
    if refused:
        raise NotSent(
            f"AWS Marketplace did not take {len(refused)} records: {', '.join(sorted(set(refused)))}"
        )
    return len(records)
