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
    """Calls and instances by group; versions are named with their model."""
    from functions.metering.groups import grouped
    from functions.metering.usage import month_span

    wanted = ("model", "version") if by is By.VERSION else (by.value,)
    groups = grouped(reader, *month_span(month), customer, wanted)
    calls = Counter({" ".join(group.of): group.calls for group in groups})
    units = Counter({" ".join(group.of): group.units for group in groups})
    return calls, units
