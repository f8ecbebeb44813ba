"""The UsageReader protocol: what usage reports and invoices read.

A store keyed for exactly-once writes is not the store that months are read from: locally both are
one SQLite file, in the cloud the reader is the S3 archive. Time spans are half-open [start, end),
in milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from functions.metering.event import UsageEvent

DAY_MS = 24 * 3600 * 1000


class UsageBucket(NamedTuple):
    """Live calls of one customer, summed by plan version, model, version, kind and UTC day.

    `first` is when the first of them started, in milliseconds since 1970 UTC.
    """

    customer: str
    plan: str
    model: str
    version: str
    kind: str
    day: str
    calls: int
    units: int
    first: int


class UsageReader(Protocol):
    """Reads live rows. Voided calls are never part of usage."""

    def rows(
        self, start: int, end: int, customer: str | None = None, *, among: Collection[str] | None = None
    ) -> Iterator[UsageEvent]:
        """Live rows of a span in the order of (started_at, call_id), of one customer, several or all."""

    def buckets(self, start: int, end: int, customer: str | None = None) -> list[UsageBucket]:
        """The same rows, counted; sorted by the bucket's fields."""


class StampedReader(UsageReader, Protocol):
    """A reader of what may still change."""

    def stamps(self, start: int, end: int) -> dict[str, str]:
        """For each UTC day of a span that has rows a text that is another after any of them changed.

        Whole days are meant; void rows count too. It is letters, digits and hyphens.
        """


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


def days_of(start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The UTC days of a span of whole days: each one's name and its half-open span in milliseconds."""
    for day in range(start, end, DAY_MS):
        yield datetime.fromtimestamp(day // 1000, UTC).strftime("%Y-%m-%d"), day, day + DAY_MS


def month_of(time_ms: int) -> str:
    """The UTC month, as "2026-11", of an instant in milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m")


def day_of(time_ms: int) -> str:
    """The UTC day, as "2026-11-23", of an instant in milliseconds."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def day_start(day: str) -> int:
    """The first millisecond of a UTC day; ValueError."""
    return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1000
