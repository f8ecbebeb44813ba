"""`payphone usage`: how many calls were made, by what one asks for."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import context
from infra.cli.console import bar, escape, print_json, show, table
from infra.cli.context import AsJson, Month, OnStage, find_payer, names_by_id

if TYPE_CHECKING:
    from functions.metering.usage import UsageReader


class By(StrEnum):
    """What usage can be grouped by."""

    DAY = "day"
    MODEL = "model"
    VERSION = "version"
    PLAN = "plan"
    KIND = "kind"
    CUSTOMER = "customer"
    KEY = "key"


def usage(
    ctx: typer.Context,
    month: Month = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only calls of this customer.")] = None,
    by: Annotated[By, typer.Option("--by", help="What to group by.")] = By.DAY,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show the billed calls of a month.

    Example: payphone usage --month 2026-11 --by model
    """
    assert month is not None
    place = context.place(ctx, stage)
    of = find_payer(place, customer) if customer else None
    names = names_by_id(place)
    calls, units = _count(place.usage(), month, of, by)
    if as_json:
        groups = [{by.value: name, "calls": calls[name], "units": units[name]} for name in sorted(calls)]
        return print_json(
            {
                "month": month,
                "customer": of,
                "by": by.value,
                "groups": groups,
                "calls": calls.total(),
                "units": units.total(),
            }
        )
    if not calls:
        return show(f"No billed calls in {month}.")
    order = sorted(calls) if by is By.DAY else sorted(calls, key=lambda name: (-calls[name], name))
    most = max(calls.values())
    rows = [
        (escape(names.get(name, name)), f"{calls[name]:,}", f"{units[name]:,}", bar(calls[name], most))
        for name in order
    ]
    total = ("[bold]Total[/]", f"[bold]{calls.total():,}[/]", f"[bold]{units.total():,}[/]", "")
    columns = (by.value.capitalize(), ">Calls", ">Instances", "")
    show(table(columns, [*rows, total], f"Billed calls, {month} (UTC)"))


def _count(
    reader: UsageReader, month: str, customer: str | None, by: By
) -> tuple[Counter[str], Counter[str]]:
    """Calls and instances by group."""
    from functions.metering.usage import month_span

    span = month_span(month)
    calls: Counter[str] = Counter()
    units: Counter[str] = Counter()
    if by is By.KEY:  # buckets don't tell keys apart
        for row in reader.rows(*span, customer):
            calls[row.key_id] += 1
            units[row.key_id] += row.units
        return calls, units
    for bucket in reader.buckets(*span, customer):
        name = f"{bucket.model} {bucket.version}" if by is By.VERSION else str(getattr(bucket, by.value))
        calls[name] += bucket.calls
        units[name] += bucket.units
    return calls, units
