"""USAGE.csv: usage that was counted elsewhere, read line by line and priced as a ledger's rows are.

    started_at,customer,model,kind,calls,units
    2026-11-03T10:00:00Z,acme,sentiment,predict,120,300

`started_at` is a time with its offset, a UTC day, or milliseconds since 1970. A row may stand for
many calls, `units` being the instances of all of them together. Order does not matter: rows are
priced in the order of time, those of one instant in that of the file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from functions.billing.amounts import read_instant
from functions.billing.bills import Bill, make_bill
from functions.billing.plans import Plan
from functions.billing.pricing import Tally, Unpriced
from functions.billing.terms import KINDS
from functions.metering.usage import month_of

COLUMNS = ("started_at", "customer", "model", "kind", "calls", "units")
MOST = 10**15


class UsageError(ValueError):
    """The file can't be used; the message names its line."""


class UsageLine(NamedTuple):
    """One line of the file; `line` is its number."""

    started_at: int
    line: int
    customer: str
    model: str
    kind: str
    calls: int
    units: int


class PricedMonth(NamedTuple):
    """What one customer owes for one month."""

    customer: str
    month: str
    bill: Bill


def read(path: Path) -> list[UsageLine]:
    """All lines in the order of time; UsageError, OSError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return sorted(_lines(path, file))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error}") from None
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV: {error}") from None


def price(path: Path, plan: Plan) -> list[PricedMonth]:
    """Price the file on one plan, by customer and UTC month; prepaid credit carries over. UsageError."""
    tallies: dict[tuple[str, str], Tally] = {}
    version = plan.version
    plan_of = {version: plan}.__getitem__
    for line in read(path):
        of = (line.customer, month_of(line.started_at))
        tally = tallies.setdefault(of, Tally(plan.currency, plan_of))
        try:
            tally.count(line.started_at, version, line.model, line.kind, line.calls, line.units)
        except Unpriced as error:
            raise UsageError(f"{path}:{line.line}: {error}") from None
    priced: list[PricedMonth] = []
    used: dict[str, Decimal] = {}
    for customer, month in sorted(tallies):
        spent = {plan.name: used.get(customer, Decimal(0))}
        bill = make_bill(tallies[customer, month], used=spent)
        used[customer] = spent[plan.name] + sum((extra.amount for extra in bill.credits), Decimal(0))
        priced.append(PricedMonth(customer, month, bill))
    return priced


def _lines(path: Path, file: Iterator[str]) -> Iterator[UsageLine]:
    reader = csv.reader(file, strict=True)
    header = tuple(name.strip() for name in next(reader, ()))
    if set(header) != set(COLUMNS) or len(header) != len(COLUMNS):
        raise UsageError(
            f"{path}:1: the columns {','.join(COLUMNS)} were expected, not {','.join(header) or 'nothing'}"
        )
    for row in reader:
        if not row:
            continue
        try:
            yield _line(reader.line_num, dict(zip(header, row, strict=True)))
        except ValueError as error:
            raise UsageError(f"{path}:{reader.line_num}: {_said(error)}") from None


def _line(number: int, cell: dict[str, str]) -> UsageLine:
    started = cell["started_at"].strip()
    if cell["kind"] not in KINDS:
        raise _Said(f"kind {cell['kind']!r}: one of {', '.join(KINDS)} was expected")
    for name in ("customer", "model"):
        if not cell[name] or not cell[name].isprintable():
            raise _Said(f"{name} {cell[name]!r}: a name was expected")
    try:
        started_at = read_instant(int(started) if started.isdecimal() and len(started) > 10 else started)
    except ValueError as error:
        raise _Said(f"started_at {started!r}: {error}") from None
    calls, units = (_count(name, cell[name], least) for name, least in (("calls", 1), ("units", 0)))
    return UsageLine(started_at, number, cell["customer"], cell["model"], cell["kind"], calls, units)


def _count(name: str, text: str, least: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and least <= int(text) <= MOST):
        raise _Said(f"{name} {text!r}: a whole number of {least} or more was expected")
    return int(text)


class _Said(ValueError):
    """An error in our own words."""


def _said(error: ValueError) -> str:
    return str(error) if isinstance(error, _Said) else f"{len(COLUMNS)} cells were expected"
