"""GET /v1/usage: the caller's own usage, counted from the ledger's rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from functions.api.caller import Caller, Parts
from functions.api.problems import documented
from functions.api.schemas import UsageReport, UsageRow
from functions.calls.problems import Problem
from functions.metering.usage import month_of, month_span

router = APIRouter(tags=["usage"])


@router.get(
    "/v1/usage",
    responses=documented("unauthenticated", "invalid-parameter", "throttled", "access-unavailable"),
)
def show_usage(
    key: Caller,
    parts: Parts,
    month: Annotated[
        str | None, Query(description="UTC month as YYYY-MM; the current one by default")
    ] = None,
) -> UsageReport:
    """Show billed calls of one UTC month by day, model, version, kind and plan version."""
    chosen = month or month_of(parts.now_ms())
    try:
        start, end = month_span(chosen)
    except ValueError:
        raise Problem("invalid-parameter", "month should be a UTC month as YYYY-MM.") from None
    buckets = parts.usage.buckets(start, end, key.customer)
    rows = [
        UsageRow(
            day=b.day,
            model=b.model,
            version=b.version,
            kind=b.kind,
            plan=b.plan,
            calls=b.calls,
            units=b.units,
        )
        for b in buckets
    ]
    return UsageReport(
        customer=key.customer,
        month=chosen,
        calls=sum(row.calls for row in rows),
        units=sum(row.units for row in rows),
        rows=rows,
    )
