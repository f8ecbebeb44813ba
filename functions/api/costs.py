"""GET /v1/costs: what the caller's month costs so far, and what it may come to."""

from __future__ import annotations

from fastapi import APIRouter

from functions.api.caller import Caller, Parts
from functions.api.invoices import drafts_of, held_by
from functions.api.month import Month, chosen_month
from functions.api.problems import documented
from functions.api.schemas import Cost, CostReport
from functions.billing.books import INVOICE, ClosedPast
from functions.billing.projection import projected_totals

router = APIRouter(tags=["usage"])


@router.get(
    "/v1/costs",
    response_model_exclude_none=True,
    responses=documented(
        "unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable"
    ),
)
def show_costs(key: Caller, parts: Parts, month: Month = None) -> CostReport:
    """Show what the calls of one UTC month cost, line by line: as invoiced, or as of now."""
    chosen, _ = chosen_month(month, parts)
    mine = parts.books.of_customer(key.customer)
    projected: dict[str, str] = {}
    if parts.books.closed(chosen):
        status = "closed"
        found = [each for each in mine if each["type"] == INVOICE and each["month"] == chosen]
    else:
        status = "draft"
        found = [draft.document() for draft in drafts_of(key.customer, chosen, parts, mine)]
        held, past = held_by(key.customer, chosen, parts), ClosedPast(parts.books, mine)
        totals = projected_totals(
            chosen, parts.usage, parts.book, held, key.customer, parts.now_ms(), past=past
        )
        projected = {currency: format(total, "f") for currency, total in totals.items()}
    return CostReport(
        customer=key.customer,
        month=chosen,
        status=status,
        costs=[
            Cost(
                **{name: each[name] for name in Cost.model_fields if name in each},
                projected_total=projected.get(each["currency"]),
            )
            for each in found
        ],
    )
