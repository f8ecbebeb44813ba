"""Bills and invoices as JSON documents: money is strings, amounts have the currency's own decimals."""

from __future__ import annotations

from typing import Any

from functions.billing.amounts import decimal_text, instant_text
from functions.billing.bills import Bill, Extra
from functions.billing.pricing import CALLS, Line


def bill_document(bill: Bill) -> dict[str, Any]:
    """A bill's lines and sums. total = subtotal - discounts - credits + taxes."""
    return {
        "currency": bill.currency,
        "lines": [line_document(line) for line in bill.lines],
        "subtotal": format(bill.subtotal, "f"),
        "discounts": [extra_document(extra) for extra in bill.discounts],
        "credits": [extra_document(extra) for extra in bill.credits],
        "taxes": [extra_document(extra) for extra in bill.taxes],
        "total": format(bill.total, "f"),
    }


def line_document(line: Line) -> dict[str, Any]:
    """One line; what has nothing to say is left out. Tiers count packages where the line has a package."""
    document: dict[str, Any] = {"description": line.description, "item": line.item, "plan": line.plan}
    if line.item == CALLS:
        document |= {"model": line.model, "kind": line.kind, "per": line.per}
    if line.since:
        document["effective_from"] = instant_text(line.since)
    if line.late:
        document["late"] = line.late
    document |= {"quantity": line.quantity, "free": line.free}
    if line.package > 1:
        document["package"] = line.package
    if line.unit_price is None:
        document["tiers"] = [
            {"quantity": part.quantity, "unit_price": decimal_text(part.unit_price)} for part in line.tiers
        ]
    else:
        document["unit_price"] = decimal_text(line.unit_price)
    return {**document, "amount": format(line.amount, "f")}


def extra_document(extra: Extra) -> dict[str, Any]:
    """A discount, a used credit or a tax."""
    return {"description": extra.description, "plan": extra.plan, "amount": format(extra.amount, "f")}
