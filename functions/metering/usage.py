"""The UsageReader protocol: what usage reports and invoices read.

A store keyed for exactly-once writes is not the store that months are read from: locally both are
one SQLite file, in the cloud the reader is the S3 archive. Time spans are half-open [start, end),
in milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from functions.metering.event import UsageEvent


class UsageBucket(NamedTuple):
    """Live calls of one customer, summed by plan version, model, version, kind and UTC day."""

    customer: str
    plan: str
    model: str
    version: str
    kind: str
    day: str
    calls: int
    units: int


class UsageReader(Protocol):
    """Reads live rows. Voided calls are never part of usage."""

    def rows(self, start: int, end: int, customer: str | None = None) -> Iterator[UsageEvent]:
        """Live rows of a span in the order of (started_at, call_id)."""

    def buckets(self, start: int, end: int, customer: str | None = None) -> list[UsageBucket]:
        """The same rows, counted; sorted by the bucket's fields."""


def month_span(month: str) -> tuple[int, int]:
    """Turn "2026-11" into its half-open UTC span in milliseconds; ValueError says what was expected."""
    try:
        if not (len(month) == 7 and month.isascii()):
            raise ValueError
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{month!r} is no month: YYYY-MM was expected") from None
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)


def month_of(time_ms: int) -> str:
    """The UTC month, as "2026-11", of an instant in milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m")
