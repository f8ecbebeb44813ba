"""GET /v1/invoices: what the caller owes for a month, computed from the ledger's rows each time."""

from __future__ import annotations

from fastapi import APIRouter

from functions.access.keys import LookupUnavailable
from functions.api.caller import Caller, Parts
from functions.api.month import Month, chosen_month
from functions.api.problems import documented
from functions.api.schemas import Invoice, InvoiceList
from functions.billing.invoices import draft_invoices, plans_held
from functions.calls.core import access_unavailable

router = APIRouter(tags=["invoices"])


@router.get(
    "/v1/invoices",
    responses=documented(
        "unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable"
    ),
)
def list_invoices(key: Caller, parts: Parts, month: Month = None) -> InvoiceList:
    """Draft the caller's invoices of one UTC month. While it runs they grow with every call."""
    chosen, _ = chosen_month(month, parts)
    try:
        held = plans_held(parts.keys_of(key.customer), chosen, parts.book.in_force)
    except LookupUnavailable:
        raise access_unavailable() from None
    drafts = draft_invoices(chosen, parts.usage, parts.book, held, key.customer)
    return InvoiceList(month=chosen, invoices=[Invoice(**draft.document()) for draft in drafts])
