"""What a number of calls costs at a price, and which part of it at which tier's price.

Calls are counted on from those that were charged before in the month, so a month that is priced in
two pieces, because the plan changed between them, counts each call and each package once.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from functions.billing.amounts import EXACT
from functions.billing.terms import Price


class Part(NamedTuple):
    """So many at one price: calls, units, or begun packages of them."""

    quantity: int
    unit_price: Decimal


def parts(price: Price, before: int, quantity: int, month_total: int) -> list[Part]:
    """The parts of `quantity` that come after `before` others, in a month of `month_total` in all."""
    first, last = _packages(before, price.package), _packages(before + quantity, price.package)
    if price.price is not None:
        return [Part(last - first, price.price)]
    if price.tiering == "volume":
        reached = max(1, _packages(month_total, price.package))
        (unit_price,) = (each for start, end, each in _spans(price) if start < reached <= (end or reached))
        return [Part(last - first, unit_price)]
    cut = [
        Part(min(last, end or last) - max(first, start), each)
        for start, end, each in _spans(price)
        if max(first, start) < min(last, end or last)
    ]
    return cut or [Part(0, price.tiers[0].price)]


def cost(of: list[Part]) -> Decimal:
    """The exact sum, not rounded."""
    summed = Decimal(0)
    for part in of:
        summed = EXACT.add(summed, EXACT.multiply(Decimal(part.quantity), part.unit_price))
    return summed


def _packages(quantity: int, size: int) -> int:
    return -(-quantity // size)


def _spans(price: Price) -> Iterator[tuple[int, int | None, Decimal]]:
    """(start, end] and price of each tier; the last has no end."""
    start = 0
    for tier in price.tiers:
        yield start, tier.up_to, tier.price
        start = tier.up_to or start
