"""What an invoice and a proof claim, read from documents that nobody vouches for.

Standard library only, so that verifying runs anywhere. ValueError, KeyError or TypeError where a document is
not of its form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from functions.metering.heads import Head, PublicKey, invoice_signed
from functions.metering.merkle import leaf_hash, root_from_path
from functions.metering.usage import month_of

ZERO = Decimal(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Line(NamedTuple):
    """A line of an invoice. `per` is "" unless it is for calls; `exact` is its amount before rounding.

    `exact` is None where it depends on other lines; `unit` is the currency's smallest, `since` milliseconds.
    """

    description: str
    plan: str
    model: str
    kind: str
    per: str
    late: str
    since: int
    quantity: int
    free: int
    amount: Decimal
    unit: Decimal
    exact: Decimal | None

    @property
    def whole(self) -> bool:
        """Whether it is for one model and kind, so that all rows of these are on it."""
        return bool(self.model and self.kind)

    def fits(self, row: Mapping[str, Any], lines: Iterable[Line], month: str) -> bool:
        """Whether a row can be charged on it: of lines that differ in their start, the last one is meant."""
        if (
            not self.per
            or self.plan != row["plan"]
            or self.model not in ("", row["model"])
            or self.kind not in ("", row["kind"])
            or month_of(row["started_at"]) != (self.late or month)
        ):
            return False
        begun = [line.since for line in lines if line[1:6] == self[1:6] and line.since <= row["started_at"]]
        return self.since == max(begun, default=-1)


class Claim(NamedTuple):
    """An invoice. `billed` has how many calls it bills under each head."""

    number: str
    customer: str
    month: str
    calls: int
    billed: list[tuple[Head, int]]
    keys: list[PublicKey]
    lines: list[Line]
    subtotal: Decimal
    less: Decimal
    taxes: Decimal
    total: Decimal
    key: str
    signature: str
    signed: bytes


class ProofClaim(NamedTuple):
    """A proof: a row, its leaf, and the root that its path leads to, None where it leads nowhere."""

    call_id: str
    row: Mapping[str, Any]
    leaf: bytes
    root: str | None
    head: Head

    @property
    def receipt(self) -> str:
        """What the answer must have carried."""
        return f"{self.head.day}.{self.leaf.hex()}"


def read_claim(document: Mapping[str, Any]) -> Claim:
    """An invoice as `payphone invoice show NUMBER --json` prints it."""

    def summed(name: str) -> Decimal:
        return sum((money(extra["amount"]) for extra in document[name]), ZERO)

    return Claim(
        number=text(document.get("number", "")),
        customer=text(document["customer"]),
        month=text(document["month"]),
        calls=count(document["rows"]["count"]),
        billed=[(read_head(entry), count(entry["billed"])) for entry in document["seals"]],
        keys=[PublicKey(**{name: text(key[name]) for name in PublicKey._fields}) for key in document["keys"]],
        lines=[*map(_line, document["lines"])],
        subtotal=money(document["subtotal"]),
        less=summed("discounts") + summed("credits"),
        taxes=summed("taxes"),
        total=money(document["total"]),
        key=text(document["signed"]["key"]),
        signature=text(document["signed"]["signature"]),
        signed=invoice_signed(document),
    )


def read_proof(document: Mapping[str, Any]) -> ProofClaim:
    """A proof as GET /v1/receipts/{call_id} gives it."""
    row, head = document["row"], read_head(document["seal"])
    for name, read in _ROW.items():
        read(row[name])
    leaf = leaf_hash(json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    path = [bytes.fromhex(text(node)) for node in document["path"]]
    root = root_from_path(leaf, count(document["index"]), head.size, path)
    return ProofClaim(text(document["call_id"]), row, leaf, root.hex() if root else None, head)


def read_head(entry: Mapping[str, Any]) -> Head:
    """A signed root."""
    texts = {name: text(entry[name]) for name in ("seal", "customer", "root", "key", "signature")}
    head = Head(size=count(entry["count"]), **texts)
    if entry["day"] != head.day:
        raise ValueError(f"the seal {head.seal} can't be of {entry['day']}")
    return head


def _line(entry: Mapping[str, Any]) -> Line:
    quantity, free, amount = count(entry["quantity"]), count(entry["free"]), money(entry["amount"])
    exact: Decimal | None = None
    if "tiers" in entry:
        parts = [count(tier["quantity"]) * money(tier["unit_price"]) for tier in entry["tiers"]]
        exact = sum(parts, ZERO)
    elif "package" not in entry:
        exact = (quantity - free) * money(entry["unit_price"])
    return Line(
        description=text(entry["description"]),
        plan=text(entry["plan"]),
        model=text(entry.get("model", "")),
        kind=text(entry.get("kind", "")),
        per=text(entry.get("per", "")),
        late=text(entry.get("late", "")),
        since=_instant(entry["effective_from"]) if "effective_from" in entry else 0,
        quantity=quantity,
        free=free,
        amount=amount,
        unit=Decimal(1).scaleb(int(amount.as_tuple().exponent)),
        exact=exact,
    )


def _instant(value: object) -> int:
    return (datetime.fromisoformat(text(value)) - _EPOCH) // timedelta(milliseconds=1)


def text(value: object) -> str:
    """A string, or ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"text was expected, not {value!r:.80}")
    return value


def count(value: object) -> int:
    """A whole number from 0 on, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"a count was expected, not {value!r:.80}")
    return value


def money(value: object) -> Decimal:
    """An amount, or ValueError."""
    try:
        amount = Decimal(text(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ValueError(f"an amount was expected, not {value!r:.80}")
    return amount


_ROW = {
    **dict.fromkeys(("call_id", "customer", "plan", "model", "kind", "version"), text),
    **dict.fromkeys(("units", "started_at"), count),
}
