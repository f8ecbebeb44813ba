"""GET /v1/usage: the caller's own usage, counted from the ledger's rows."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from functions.api.caller import Caller, Parts
from functions.api.month import Day, Month, chosen_span
from functions.api.page import After, Limit, cursor, key_of
from functions.api.problems import documented
from functions.api.schemas import UsageReport, UsageRow
from functions.metering.groups import grouped

router = APIRouter(tags=["usage"])

Bucket = Literal["day", "month"]
By = Literal["model", "version", "kind", "plan", "key"]


@router.get(
    "/v1/usage",
    response_model_exclude_none=True,
    responses=documented(
        "unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable"
    ),
)
def show_usage(
    key: Caller,
    parts: Parts,
    month: Month = None,
    start: Day = None,
    end: Day = None,
    bucket: Annotated[Bucket, Query(description="How time is cut")] = "day",
    group_by: Annotated[
        list[By] | None, Query(max_length=5, description="Repeat for several; by default all but key")
    ] = None,
    limit: Limit = 1_000,
    after: After = None,
) -> UsageReport:
    """Show billed calls of a UTC month, or from one UTC day up to another that is not included.

    Totals are those of the whole time, whatever the page.
    """
    chosen, since, until = chosen_span(month, start, end, parts)
    by = (bucket, *dict.fromkeys(group_by or ("model", "version", "kind", "plan")))
    groups = grouped(parts.usage, since, until, key.customer, by)
    rest = groups
    if after is not None:
        last = key_of(after, len(by))
        rest = [group for group in groups if group.of > last]
    page = rest[:limit]
    return UsageReport(
        customer=key.customer,
        month=chosen,
        calls=sum(group.calls for group in groups),
        units=sum(group.units for group in groups),
        rows=[
            UsageRow(**dict(zip(by, group.of, strict=True)), calls=group.calls, units=group.units)
            for group in page
        ],
        next=cursor(page[-1].of) if len(rest) > limit else None,
    )
