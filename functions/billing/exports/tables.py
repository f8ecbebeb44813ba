"""Closed documents as CSV: a line a charge, and as FOCUS, which FinOps tools read.

FOCUS is the FinOps Open Cost and Usage Specification; these are version 1.2's mandatory columns and
what else we know. An invoice's charges sum up to its total, credit notes count against it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from functions.billing.amounts import EXACT, decimal_text, instant_text
from functions.metering.usage import month_span

Document = dict[str, Any]

COLUMNS = (
    "number", "type", "customer", "month", "currency", "entry", "description", "plan", "model", "kind", "per",
    "quantity", "free", "unit_price", "amount",
)  # fmt: skip

FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName", "SkuId", "SkuPriceId",
)  # fmt: skip

_UNITS = {"call": "Calls", "unit": "Units"}


def charges_csv(documents: Iterable[Document]) -> str:
    """Every charge with a sign, so that a document's amounts sum up to what there is to pay."""
    return _csv(COLUMNS, (row for document in documents for row in _charges(document)))


def focus_csv(documents: Iterable[Document]) -> str:
    """A FOCUS 1.2 dataset."""
    rows = (
        {**_focus(document, charge), **part}
        for document in documents
        for charge in _charges(document)
        for part in _priced(charge)
    )
    return _csv(FOCUS_COLUMNS, rows)


def _charges(document: Document) -> Iterator[dict[str, Any]]:
    common = {name: document[name] for name in ("number", "type", "customer", "month", "currency")}
    if document["type"] == "credit_note":
        yield {
            **common,
            "entry": "credit_note",
            "description": document["reason"],
            "amount": f"-{document['total']}",
        }
        return
    for line in document["lines"]:
        yield {**common, **line, "entry": line["item"]}
    for entry, sign in (("discounts", "-"), ("credits", "-"), ("taxes", "")):
        for extra in document[entry]:
            yield {**common, **extra, "entry": entry, "amount": f"{sign}{extra['amount']}"}


def _focus(document: Document, charge: dict[str, Any]) -> dict[str, Any]:
    start, end = map(instant_text, month_span(document["month"]))
    period = tuple(map(instant_text, month_span(charge.get("late") or document["month"])))
    row = {
        "BilledCost": charge["amount"],
        "BillingAccountId": document["customer"],
        "BillingCurrency": document["currency"],
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": period[0],
        "ChargePeriodEnd": period[1],
        "ChargeDescription": charge["description"],
        "ContractedCost": charge["amount"],
        "EffectiveCost": charge["amount"],
        "ListCost": charge["amount"],
        "InvoiceId": document["number"],
        "InvoiceIssuerName": document["issuer"],
        "ProviderName": document["issuer"],
        "PublisherName": document["issuer"],
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": charge.get("model") or document["issuer"],
        "ChargeCategory": _CATEGORIES.get(charge["entry"], "Purchase"),
        "ChargeFrequency": "Recurring" if charge["entry"] == "monthly_fee" else "One-Time",
    }
    if charge["entry"] == "credit_note":
        return {**row, "ChargeClass": "Correction"}
    if charge["entry"] == "calls":
        unit = _UNITS[charge["per"]]
        row |= {"ChargeFrequency": "Usage-Based", "ConsumedUnit": unit, "PricingCategory": "Standard"}
    return row


_CATEGORIES = {
    "calls": "Usage",
    "discounts": "Credit",
    "credits": "Credit",
    "taxes": "Tax",
    "credit_note": "Adjustment",
}


def _priced(charge: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a charge's rows have of quantity and price: a row a tier, one for anything else.

    The specification wants list cost to be exactly quantity x price. What is billed sums up to the
    charge: what rounding adds or takes is in the last tier's row.
    """
    if charge["entry"] in _CATEGORIES and charge["entry"] != "calls":
        yield {}
        return
    if charge["entry"] != "calls":
        yield _row(charge, charge["entry"], 1, "Months", charge["unit_price"])
        return
    sku = f"{charge['model'] or 'all'}/{charge['kind'] or 'all'}/{charge['per']}"
    unit, package = _UNITS[charge["per"]], charge.get("package", 1)
    pricing_unit = unit if package == 1 else f"{package} {unit}"
    paid = charge["quantity"] - charge["free"]
    used = {"ConsumedQuantity": charge["quantity"]}
    if "tiers" not in charge:
        price = Decimal(charge["unit_price"])
        begun = -(-paid // package)
        if package > 1 and price:  # a month in pieces counts each begun package once
            begun = int((Decimal(charge["amount"]) / price).to_integral_value())
        yield used | _row(charge, sku, begun, pricing_unit, charge["unit_price"])
        return
    left, rest = Decimal(charge["amount"]), paid
    for number, tier in enumerate(charge["tiers"], 1):
        last = number == len(charge["tiers"])
        part = _row(charge, f"{sku}/tier-{number}", tier["quantity"], pricing_unit, tier["unit_price"])
        cost = left if last else Decimal(part["ListCost"])
        consumed = rest if last else min(rest, tier["quantity"] * package)
        free = charge["free"] if number == 1 else 0
        billed = dict.fromkeys(("BilledCost", "EffectiveCost"), decimal_text(cost))
        yield part | billed | {"ConsumedQuantity": consumed + free}
        left, rest = left - cost, rest - consumed


def _row(charge: dict[str, Any], sku: str, quantity: int, unit: str, price: str) -> dict[str, Any]:
    exact = decimal_text(EXACT.multiply(Decimal(quantity), Decimal(price)))
    return {
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "SkuId": sku,
        "SkuPriceId": f"{charge['plan']}/{sku}",
        **dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice"), price),
        **dict.fromkeys(("ListCost", "ContractedCost"), exact),
    }


def _csv(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers with a minus are left alone."""
    if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r"):
        return f"'{value}"
    return value
