"""GET /v1/invoices: the caller's invoices and credit notes, and what the open month comes to so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from functions.access.keys import LookupUnavailable
from functions.api.accept import chosen_type
from functions.api.caller import Caller, Parts
from functions.api.context import Context
from functions.api.month import Month, chosen_month
from functions.api.page import After, Limit, cursor, key_of
from functions.api.problems import documented
from functions.api.schemas import Document, InvoiceList
from functions.billing.books import ClosedPast
from functions.billing.exports.page import page
from functions.billing.exports.tables import charges_csv
from functions.billing.invoices import Held, Invoice, draft_invoices, plans_held
from functions.calls.problems import Problem, access_unavailable

router = APIRouter(tags=["invoices"])

# An invoice runs no script and loads nothing, whatever stands in it.
_PAGE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


@router.get(
    "/v1/invoices",
    response_model_exclude_none=True,
    responses=documented(
        "unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable"
    ),
)
def list_invoices(
    key: Caller, parts: Parts, month: Month = None, limit: Limit = 100, after: After = None
) -> InvoiceList:
    """List the caller's documents, the newest first; before them drafts of what is not closed yet.

    With a month, those of that month. A draft grows with every call.
    """
    chosen, _ = chosen_month(month, parts)
    mine = parts.books.of_customer(key.customer)
    rest = [each for each in reversed(mine) if month in (None, each["month"])]
    if after is not None:
        (last,) = key_of(after, 1)
        rest = [each for each in rest if _position(each["number"]) < _position(last)]
    drafts: list[dict[str, Any]] = []
    if after is None and not parts.books.closed(chosen):
        drafts = [draft.document() for draft in drafts_of(key.customer, chosen, parts, mine)]
    documents = rest[:limit]
    return InvoiceList(
        month=month,
        invoices=[Document(**each) for each in (*drafts, *documents)],
        next=cursor((documents[-1]["number"],)) if len(rest) > limit else None,
    )


@router.get(
    "/v1/invoices/{number}",
    response_model=Document,
    responses={
        200: {
            "description": "As JSON, CSV or a page to print, as Accept asks for",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "text/html": {"schema": {"type": "string"}},
            },
        },
        **documented("unauthenticated", "not-found", "not-acceptable", "throttled", "access-unavailable"),
    },
)
def show_invoice(request: Request, key: Caller, parts: Parts, number: str) -> Response:
    """Show one closed invoice or credit note."""
    mine = (each for each in parts.books.of_customer(key.customer) if each["number"] == number)
    document = next(mine, None)
    if document is None:
        raise Problem("not-found", "No invoice of yours has this number; /v1/invoices lists them.")
    kind = chosen_type(request.headers.get("accept"), ("application/json", "text/csv", "text/html"))
    headers = {"vary": "accept"}
    if kind == "text/csv":
        return Response(charges_csv([document]), headers=headers, media_type="text/csv; charset=utf-8")
    if kind == "text/html":
        text = page(document, parts.name_of(key.customer))
        return Response(text, headers=headers | _PAGE_HEADERS, media_type="text/html; charset=utf-8")
    return JSONResponse(document, headers=headers)


def drafts_of(customer: str, month: str, parts: Context, documents: list[dict[str, Any]]) -> list[Invoice]:
    """What an open month comes to so far, after what `documents`, all of the customer's, say of the past."""
    past = ClosedPast(parts.books, documents)
    return draft_invoices(
        month, parts.usage, parts.book, held_by(customer, month, parts), customer, past=past
    )


def held_by(customer: str, month: str, parts: Context) -> Mapping[str, Held]:
    """The plan versions that a customer's keys were valid on in a month; Problem where nobody can say."""
    try:
        return plans_held(parts.keys_of(customer), month, parts.book.in_force)
    except LookupUnavailable:
        raise access_unavailable() from None


def _position(number: str) -> int:
    """Of a document among all; Problem where it is no number."""
    try:
        return int(number.rpartition("-")[2])
    except ValueError:
        raise Problem("invalid-parameter", "after should be `next` of the page before.") from None
