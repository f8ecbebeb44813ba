"""How a bill's document is printed: its lines and sums as rows of a table."""

from __future__ import annotations

from typing import Any

from infra.cli.console import escape


def bill_columns(document: dict[str, Any]) -> tuple[str, ...]:
    """The heads of the table."""
    return "Item", "Plan version", ">Quantity", ">Free", ">Unit price", f">Amount, {document['currency']}"


def bill_rows(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row a line; sums come after, the total last."""
    rows = [
        (
            escape(line["description"]),
            line["plan"],
            f"{line['quantity']:,}",
            f"{line['free']:,}" if line["free"] else "",
            _unit_price(line),
            money(line["amount"]),
        )
        for line in document["lines"]
    ]
    extras = [(extra, "-") for extra in document["discounts"] + document["credits"]]
    extras += [(tax, "") for tax in document["taxes"]]
    if extras:
        rows.append(("Subtotal", "", "", "", "", money(document["subtotal"])))
        rows += [(escape(e["description"]), "", "", "", "", sign + money(e["amount"])) for e, sign in extras]
    return [*rows, ("[bold]Total[/]", "", "", "", "", f"[bold]{money(document['total'])}[/]")]


def money(amount: str) -> str:
    """An amount of a document with its thousands apart."""
    whole, point, decimals = amount.partition(".")
    return f"{int(whole):,}{point}{decimals}"


def _unit_price(line: dict[str, Any]) -> str:
    if "unit_price" in line:
        return str(line["unit_price"])
    return "\n".join(f"{tier['quantity']:,} at {tier['unit_price']}" for tier in line["tiers"])
