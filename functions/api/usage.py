"""GET /v1/usage: the caller's own usage, counted from the ledger's rows."""

from __future__ import annotations

from fastapi import APIRouter

from functions.api.caller import Caller, Parts
from functions.api.month import Month, chosen_month
from functions.api.problems import documented
from functions.api.schemas import UsageReport, UsageRow

router = APIRouter(tags=["usage"])


@router.get(
    "/v1/usage",
    responses=documented(
        "unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable"
    ),
)
def show_usage(key: Caller, parts: Parts, month: Month = None) -> UsageReport:
    """Show billed calls of one UTC month by day, model, version, kind and plan version."""
    chosen, (start, end) = chosen_month(month, parts)
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
