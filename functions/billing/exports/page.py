"""An invoice or credit note as one HTML page that also prints well: no script, no font, nothing to fetch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
@page { size: A4; margin: 18mm 16mm 20mm }
* { box-sizing: border-box }
html { color: #1a1d21; background: #f3f4f6; font: 10.5pt/1.45 system-ui, "Helvetica Neue", Arial, sans-serif }
body { max-width: 190mm; margin: 8mm auto; padding: 14mm; background: #fff }
header { display: flex; justify-content: space-between; gap: 10mm; margin-bottom: 10mm }
h1 { margin: 0 0 1mm; font-size: 20pt; font-weight: 650; letter-spacing: -.01em }
p { margin: 0 }
.muted, dt { color: #667085 }
dl { display: grid; grid-template-columns: auto auto; gap: 0 5mm; margin: 0; align-content: start }
dd { margin: 0; text-align: right }
.to { margin-bottom: 8mm }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
thead { display: table-header-group }
tr { break-inside: avoid }
th, td { padding: 1.6mm 0 1.6mm 4mm; text-align: right; vertical-align: top }
th, td { white-space: nowrap }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: normal }
td:first-child:not(.calls)::first-letter { text-transform: uppercase }
th { border-bottom: 1.5px solid #1a1d21; font-weight: 600 }
td { border-bottom: 1px solid #e4e7ec }
td small { display: block; color: #667085 }
.seals { margin-top: 10mm; font-size: 8pt; break-inside: auto }
.seals h2 { margin: 0; font-size: 10pt; font-weight: 600 }
.seals td, .seals th:not(:first-child) { padding: .8mm 0 .8mm 3mm }
.seals td:first-child { padding-left: 0; white-space: nowrap }
.seals td:nth-child(4) { white-space: normal }
.seals code { font-size: 6.5pt }
.sums td { border: 0; padding-bottom: 0 }
.sums tr:last-child td { padding-top: 2.5mm; font-size: 13pt; font-weight: 650 }
tfoot { display: table-row-group; break-inside: avoid }
footer { margin-top: 12mm; padding-top: 3mm; border-top: 1px solid #e4e7ec; font-size: 8pt; color: #667085 }
code { font: 7.5pt/1.4 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere }
@media print { html { background: none } body { margin: 0; padding: 0; max-width: none } }
@media (max-width: 150mm) { body { padding: 6mm } header { flex-direction: column } }
"""


def page(document: dict[str, Any], customer_name: str) -> str:
    """Render a closed document; `customer_name` is looked up when it is needed and never kept with it."""
    is_note = document["type"] == "credit_note"
    title = f"{'Credit note' if is_note else 'Invoice'} {document['number']}"
    facts = {"Number": document["number"], "Issued": document["issued_at"][:10], "Month": document["month"]}
    if is_note:
        facts["To invoice"] = document["invoice"]
    body = "".join(_note(document) if is_note else _lines(document))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}{_page_foot(document["number"])}</style>
</head>
<body>
<header>
<div><h1>{"Credit note" if is_note else "Invoice"}</h1><p>{escape(document["issuer"])}</p></div>
<dl>{"".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())}</dl>
</header>
<p class="muted">For</p>
<p class="to"><strong><bdi>{escape(customer_name)}</bdi></strong><br>{escape(document["customer"])}</p>
<table>
{body}
</table>
{_proof(document)}
</body>
</html>
"""


def _lines(document: dict[str, Any]) -> Iterator[str]:
    currency = escape(document["currency"])
    yield "<thead><tr><th>Item</th><th>Quantity</th><th>Free</th><th>Unit price</th>"
    yield f"<th>Amount, {currency}</th></tr></thead>\n<tbody>\n"
    for line in document["lines"]:
        plan = f"<small>{escape(line['plan'])}</small>"
        free = f"{line['free']:,}" if line["free"] else ""
        cells = [f"{line['quantity']:,}", free, _unit_price(line), _money(line["amount"])]
        yield f"<tr><td class={line['item']}>{escape(line['description'])}{plan}</td>"
        yield "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
    yield "</tbody>\n<tfoot class=sums>\n"
    yield _sum("Subtotal", document["subtotal"])
    for extra in document["discounts"] + document["credits"]:
        yield _sum(extra["description"], f"-{extra['amount']}")
    for tax in document["taxes"]:
        yield _sum(tax["description"], tax["amount"])
    yield _sum(f"Total, {document['currency']}", document["total"]) + "</tfoot>"


def _note(document: dict[str, Any]) -> Iterator[str]:
    calls = len(document["calls"])
    about = f"<small>{calls:,} calls of {escape(document['month'])}</small>" if calls else ""
    yield f"<thead><tr><th>Reason</th><th>Amount, {escape(document['currency'])}</th></tr></thead>\n<tbody>"
    amount = _money(document["total"])
    yield f"<tr><td>{escape(document['reason'])}{about}</td><td>{amount}</td></tr></tbody>\n"
    yield "<tfoot class=sums>\n"
    for tax in document["taxes"]:
        yield _sum(f"of which {tax['description']}", tax["amount"], columns=1)
    for credit in document["credits"]:
        plan = credit["plan"].partition("@")[0]
        yield _sum(f"given back to the prepaid credit of plan {plan}", credit["amount"], columns=1)
    yield _sum(f"Credited, {document['currency']}", document["total"], columns=1) + "</tfoot>"


def _unit_price(line: dict[str, Any]) -> str:
    if "unit_price" in line:
        each = f" per {line['package']:,}" if "package" in line else ""
        return _money(line["unit_price"]) + each
    return "<br>".join(f"{tier['quantity']:,} at {_money(tier['unit_price'])}" for tier in line["tiers"])


def _sum(name: str, amount: str, columns: int = 4) -> str:
    return f"<tr><td colspan={columns}>{escape(name)}</td><td>{_money(amount)}</td></tr>\n"


def _money(amount: str) -> str:
    """Thousands apart, with a real minus."""
    whole, point, decimals = amount.lstrip("-").partition(".")
    return f"{'−' if amount.startswith('-') else ''}{int(whole):,}{point}{decimals}"


def _seals(document: dict[str, Any]) -> Iterator[str]:
    """The signed roots, which `payphone verify` holds a customer's receipts against."""
    if not document.get("seals"):
        return
    yield '<section class="seals"><h2>What it rests on</h2>\n<table>\n<thead><tr><th>Seal</th><th>Calls</th>'
    yield "<th>Billed</th><th>Signed root (Merkle tree, RFC 9162)</th><th>Key</th></tr></thead>\n<tbody>\n"
    for seal in document["seals"]:
        codes = "".join(f"<td><code>{escape(seal[name])}</code></td>" for name in ("root", "key"))
        counts = f"<td>{seal['count']:,}</td><td>{seal['billed']:,}</td>"
        yield f"<tr><td>{escape(seal['seal'])}</td>{counts}{codes}</tr>\n"
    yield "</tbody>\n</table></section>\n"


def _proof(document: dict[str, Any]) -> str:
    if "rows" not in document:
        return ""
    rows = document["rows"]
    return (
        f"{''.join(_seals(document))}"
        f"<footer>Computed from {rows['count']:,} recorded calls, whose SHA-256 is<br>"
        f"<code>{rows['sha256']}</code><br>"
        "Months are UTC. An amount is rounded once a line, halves away from zero.</footer>"
    )


def _page_foot(number: str) -> str:
    """The number and the page on each printed page; a number is letters, digits and hyphens."""
    shown = re.sub(r"[^A-Za-z0-9-]", "", number)
    style = "font: 8pt system-ui, sans-serif; color: #667085"
    return (
        f'@page {{ @bottom-left {{ content: "{shown}"; {style} }} '
        f'@bottom-right {{ content: counter(page) " / " counter(pages); {style} }} }}'
    )
