"""The time that usage, costs and invoices are asked for: a UTC month, or UTC days."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from functions.api.context import Context
from functions.billing.amounts import read_instant
from functions.calls.problems import Problem
from functions.metering.usage import DAY_MS, month_of, month_span

MOST_DAYS = 366

Month = Annotated[str | None, Query(description="UTC month as YYYY-MM; the current one by default")]
Day = Annotated[str | None, Query(description="UTC day as YYYY-MM-DD; start and end belong together")]


def chosen_month(month: str | None, parts: Context) -> tuple[str, tuple[int, int]]:
    """The month that was asked for and its span in milliseconds; Problem if it is none."""
    chosen = month or month_of(parts.now_ms())
    try:
        return chosen, month_span(chosen)
    except ValueError:
        raise Problem("invalid-parameter", "month should be a UTC month as YYYY-MM.") from None


def chosen_span(
    month: str | None, start: str | None, end: str | None, parts: Context
) -> tuple[str | None, int, int]:
    """The month, None where days were asked for, and the span in milliseconds; Problem if it is none."""
    if start is None and end is None:
        chosen, span = chosen_month(month, parts)
        return chosen, *span
    if month is not None or start is None or end is None:
        raise Problem("invalid-parameter", "Either month, or both start and end were expected.")
    since, until = _day("start", start), _day("end", end)
    if not since < until <= since + MOST_DAYS * DAY_MS:
        said = f"end should be a later day than start, by {MOST_DAYS} days at most; it is not included."
        raise Problem("invalid-parameter", said)
    return None, since, until


def _day(name: str, text: str) -> int:
    try:
        if len(text) != 10:
            raise ValueError
        return read_instant(text)
    except ValueError:
        raise Problem("invalid-parameter", f"{name} should be a UTC day as YYYY-MM-DD.") from None
