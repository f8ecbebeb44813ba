"""The parameter `month` of usage and invoices."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from functions.api.context import Context
from functions.calls.problems import Problem
from functions.metering.usage import month_of, month_span

Month = Annotated[str | None, Query(description="UTC month as YYYY-MM; the current one by default")]


def chosen_month(month: str | None, parts: Context) -> tuple[str, tuple[int, int]]:
    """The month that was asked for and its span in milliseconds; Problem if it is none."""
    chosen = month or month_of(parts.now_ms())
    try:
        return chosen, month_span(chosen)
    except ValueError:
        raise Problem("invalid-parameter", "month should be a UTC month as YYYY-MM.") from None
