"""`payphone quote`: what a call of a model costs on AWS, and what each plan leaves of its price."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from statistics import median_high
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import Failure, print_json, show, table
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from infra.costs import Prices
    from infra.service import Settings
    from infra.workspace import Workspace

CURRENCY = "USD"
MEASURED_DAYS = 31


def quote(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of service.toml.")],
    duration_ms: Annotated[
        int | None,
        typer.Option("--duration-ms", min=1, help="Billed time of a call. Default: as measured here."),
    ] = None,
    memory: Annotated[
        int | None, typer.Option("--memory", min=128, max=10_240, help="MB. Default: service.toml's.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="AWS prices. Default: infra/aws_prices.toml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the cost of a call by part, and the margin at each plan's list price for one.

    Measured is the median of the access log's last 31 days on this machine, which is not Lambda: give
    --duration-ms what its report lines say once it runs there.

    Example: payphone quote sentiment
    """
    from functions.billing.amounts import decimal_text
    from infra.costs import DEFAULT_PRICES, METRICS, cost_of_a_call, cost_of_a_month, load_prices

    settings = context.settings(ctx)
    if model not in settings.models.serve:
        raise Failure(f"{model} is not served (served: {', '.join(settings.models.serve)})")
    asked = load_prices(prices or DEFAULT_PRICES)
    measured = None if duration_ms else _measured(context.workspace(ctx), model)
    duration = duration_ms or measured
    if not duration:
        raise Failure(
            f"no call of {model} was answered here lately: say how long one takes with --duration-ms"
        )
    megabytes = memory or _memory(settings, model)
    parts = cost_of_a_call(asked, duration, megabytes, settings.aws.machine)
    cost = sum(parts.values(), Decimal(0))
    plans = [*_margins(settings, model, cost, asked)]
    keys = 1 + settings.aws.customer_managed_key  # the one that signs seals
    month = cost_of_a_month(asked, len(settings.models.serve), keys)
    at_rest = sum((value for name, value in month.items() if name != METRICS), Decimal(0))
    if as_json:
        return print_json(
            {
                "model": model,
                "currency": CURRENCY,
                "prices": {"as_of": asked.as_of, "region": asked.region},
                "duration_ms": duration,
                "measured_calls_here": measured is not None,
                "memory_mb": megabytes,
                "machine": settings.aws.machine,
                "parts": {name: decimal_text(value) for name, value in parts.items()},
                "cost": decimal_text(cost),
                "month": {name: decimal_text(value) for name, value in month.items()},
                "plans": plans,
            }
        )
    source = "measured here" if measured else "as given"
    million = [(name, f"{value * 1_000_000:,.2f}", f"{value / cost:.0%}") for name, value in parts.items()]
    title = f"{model}: {duration} ms ({source}), {megabytes} MB, {settings.aws.machine}"
    total = ("[bold]A million calls[/]", f"[bold]{cost * 1_000_000:,.2f}[/]", "")
    rows = [(plan["plan"], plan["price"], plan["currency"], _percent(plan["margin"])) for plan in plans]
    show(
        table(("Part", f">{CURRENCY} a million", ">Share"), [*million, total], title),
        table(("Plan", ">Price a call", "", ">Margin"), rows),
        f"The whole stage at rest: {CURRENCY} {at_rest:.2f} a month; up to {month[METRICS]:.2f} more for "
        "metrics, if every hour has calls.",
        f"AWS list prices of {asked.as_of}, {asked.region}. Fees and free calls are not counted in.",
    )


def _margins(settings: Settings, model: str, row: Decimal, prices: Prices) -> Iterator[dict[str, Any]]:
    """Each plan's price, and its margin over what a call costs: with what its hold costs, if it has one."""
    from functions.billing.amounts import decimal_text
    from functions.billing.holds import compile_holds
    from functions.metering.terms import CAP, QUOTA, WALLET
    from functions.metering.terms import in_force as terms_in_force
    from infra.costs import cost_of_holds

    now_ms = context.now_ms()
    for name, plan in settings.plans.items():
        in_force = [terms for since, terms in plan.schedule() if since <= now_ms][-1]
        price = in_force.price(model)
        held = terms_in_force(compile_holds(plan).holds, now_ms)
        cost = row + cost_of_holds(prices, sum(limit in held for limit in (QUOTA, CAP, WALLET)))
        comparable = price > 0 and plan.currency == CURRENCY
        yield {
            "plan": name,
            "currency": plan.currency,
            "price": decimal_text(price),
            "cost": decimal_text(cost),
            "margin": format((price - cost) / price, ".4f") if comparable else None,
        }


def _measured(place: Workspace, model: str) -> int | None:
    """Median milliseconds of the model's answered calls, at least 1; None if there are none."""
    from functions.metering.accesslog import DAY_MS, AccessRecord, read

    now_ms = context.now_ms()
    records = read(place.access_log, now_ms - MEASURED_DAYS * DAY_MS, now_ms + 1)
    times = [
        record.latency_ms
        for record in records
        if isinstance(record, AccessRecord)
        and (record.model, record.method, record.status) == (model, "POST", 200)
    ]
    return max(1, median_high(times)) if times else None


def _memory(settings: Settings, model: str) -> int:
    from infra.service_aws import ModelOnAws

    return settings.aws.models.get(model, ModelOnAws()).memory


def _percent(margin: str | None) -> str:
    return "" if margin is None else f"{Decimal(margin):.1%}"
