"""Money and instants: how they are read, written and rounded.

Money is `Decimal` in major units (dollars, not cents) and never passes through a binary float. A
price may be as fine as 12 decimals; what is charged as such has the currency's minor unit.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from functions.billing.currencies import MINOR_UNIT

# Wide enough for every product and sum to be exact: prices have at most 21 digits, counts 15, and a
# percentage adds 11.
EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
_HUNDREDTH = Decimal("0.01")


def decimal_text(value: Decimal) -> str:
    """Write a number one way only: no exponent, no trailing zeros, so that equal prices hash alike."""
    return format(value.normalize(EXACT), "f") if value else "0"


def round_amount(amount: Decimal, currency: str) -> Decimal:
    """Round to the currency's minor unit, halves away from zero."""
    return EXACT.quantize(amount, MINOR_UNIT[currency])


def percent_of(percent: Decimal, amount: Decimal) -> Decimal:
    """`percent` hundredths of `amount`, exact."""
    return EXACT.multiply(EXACT.multiply(percent, _HUNDREDTH), amount)


def add_up(amounts: list[Decimal], currency: str) -> Decimal:
    """The exact sum of amounts in `currency`, with its decimals even where there are none."""
    summed = MINOR_UNIT[currency] * 0
    for amount in amounts:
        summed = EXACT.add(summed, amount)
    return summed


def instant_text(time_ms: int) -> str:
    """An instant in milliseconds since 1970 UTC as RFC 3339 writes it: "2026-11-15T00:00:00Z"."""
    timespec = "milliseconds" if time_ms % 1000 else "seconds"
    text = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")


def read_instant(value: Any) -> int:
    """An instant in milliseconds since 1970 UTC, from a time with its offset or a UTC day.

    Takes what TOML and RFC 3339 have (date, datetime, text) and milliseconds. ValueError if it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**14:
        return value
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime) and value.tzinfo is not None:
            since = value - datetime(1970, 1, 1, tzinfo=UTC)
            return (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000
    except (ValueError, OverflowError):
        pass
    raise ValueError("an instant such as 2026-11-15T00:00:00Z, or a UTC day, was expected")


def _exact(value: Any) -> Any:
    if isinstance(value, (bool, float)):  # a binary float is not the amount that was written
        raise PydanticCustomError("amount", "an amount is a number, or a number as a string")
    return value


def _known_currency(code: str) -> str:
    if code not in MINOR_UNIT:
        raise PydanticCustomError("currency", 'a currency is an ISO 4217 code such as "USD", "EUR" or "JPY"')
    return code


def _instant(value: Any) -> int:
    try:
        return read_instant(value)
    except ValueError as error:
        raise PydanticCustomError("instant", "{expected}", {"expected": str(error)}) from None


Currency = Annotated[str, AfterValidator(_known_currency)]
Amount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(ge=0, lt=10**9, decimal_places=12),
    PlainSerializer(decimal_text, return_type=str),
]
Percent = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(ge=0, le=100, decimal_places=6),
    PlainSerializer(decimal_text, return_type=str),
]
Rate = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(gt=0, le=10**6, decimal_places=6),
    PlainSerializer(decimal_text, return_type=str),
]
Count = Annotated[int, Field(strict=True, ge=1, le=10**15)]
CountOrNone = Annotated[int, Field(strict=True, ge=0, le=10**15)]
Instant = Annotated[int, BeforeValidator(_instant), PlainSerializer(instant_text, return_type=str)]
