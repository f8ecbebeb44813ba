"""`payphone key`: API keys. A key is shown once, when it is made; we keep only its hash."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import Failure, escape, print_json, show, table, time_text
from infra.cli.context import (
    LOCAL,
    AsJson,
    CustomerArgument,
    OnStage,
    base_url,
    find_customer,
    find_payer,
    names_by_id,
    now_ms,
    on,
    place,
    settings,
)

if TYPE_CHECKING:
    from functions.access.keys import KeyRecord
    from infra.place import Place

app = typer.Typer(help="Issue, list, rotate and revoke API keys.", no_args_is_help=True)

_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, see `payphone key list`.")]


def duration_ms(text: str) -> int:
    """Turn "24h", "30m", "7d", "90s" or "0" into milliseconds; BadParameter says what was expected."""
    found = re.fullmatch(r"(\d{1,6})([smhd])|0", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: 90s, 30m, 24h, 7d or 0 was expected")
    return int(found[1]) * _UNIT_MS[found[2]] if found[1] else 0


@app.command()
def issue(
    ctx: typer.Context,
    customer: CustomerArgument,
    plan: Annotated[str, typer.Option("--plan", help="A plan of service.toml.")],
    models: Annotated[
        str, typer.Option("--models", metavar="A,B", help="Models the key may call. Default: all.")
    ] = "",
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key to a customer and show it, this once.

    Example: payphone key issue ada@example.com --plan starter --models sentiment
    """
    from infra.plans import publish_plans

    configured, where = settings(ctx), place(ctx, stage)
    scope = tuple(sorted({name.strip() for name in models.split(",") if name.strip()}))
    if plan not in configured.plans:
        raise Failure(f"there is no plan {plan!r}: service.toml has {', '.join(configured.plans)}")
    if unknown := set(scope) - set(configured.models.serve):
        served = ", ".join(configured.models.serve)
        raise Failure(f"{', '.join(sorted(unknown))} is not served: service.toml serves {served}")
    holder = find_customer(where, customer)
    if stage is None:  # a stage has the plans that it was deployed with
        publish_plans(configured, where)
    with closing(where.keys()) as keys:
        key, record = keys.issue(holder.customer_id, plan, models=scope)
    if as_json:
        return print_json({"key": key, **document(record)})
    show(f"Key {record.key_id} for [bold]{escape(holder.name)}[/] on plan {record.plan.version}.")
    _reveal(key, (scope or configured.models.serve)[0], where)


@app.command("list")
def list_(
    ctx: typer.Context,
    customer: Annotated[str | None, typer.Option("--customer", help="Only keys of this customer.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """List keys, never their values.

    Example: payphone key list --customer ada@example.com
    """
    where = place(ctx, stage)
    of = find_payer(where, customer) if customer else None
    names = names_by_id(where)
    with closing(where.keys()) as keys:
        found = keys.list(of)
    if as_json:
        return print_json({"keys": [document(record) for record in found]})
    if not found:
        return show(f"No keys yet. Issue one: [bold]payphone key issue CUSTOMER --plan starter{on(stage)}[/]")
    rows = (
        (
            record.key_id,
            escape(names.get(record.customer, record.customer)),
            record.plan.version,
            ", ".join(record.models) or "all",
            time_text(record.created_at),
            _state_text(record),
        )
        for record in found
    )
    show(table(("Key", "Customer", "Plan", "Models", "Issued (UTC)", "State"), rows))


@app.command()
def rotate(
    ctx: typer.Context,
    key_id: KeyId,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old key goes on working: 90s, 30m, 24h, 7d or 0.")
    ] = "24h",
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one; the old one works on through the grace period.

    Example: payphone key rotate key_7f3a --grace 24h
    """
    grace_ms = duration_ms(grace)
    where = place(ctx, stage)
    with closing(where.keys()) as keys:
        key, record = keys.rotate(key_id, grace_ms)
    if as_json:
        return print_json({"key": key, "replaces": key_id, **document(record)})
    until = f"works for another {grace}" if grace_ms else "works no more"
    show(f"Key {record.key_id} replaces {key_id}, which {until}.")
    _reveal(key, (record.models or settings(ctx).models.serve)[0], where)


@app.command()
def revoke(ctx: typer.Context, key_id: KeyId, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Revoke a key: here at once, on a stage within five seconds.

    Example: payphone key revoke key_7f3a
    """
    with closing(place(ctx, stage).keys()) as keys:
        revoked = keys.revoke(key_id)
    if as_json:
        return print_json(document(revoked))
    show(f"Key {key_id} is revoked.")


def curl(key: str, model: str, url: str = LOCAL) -> str:
    """The command line that makes one call with a key."""
    body = json.dumps({"instances": ["A wonderful little film."]})
    return f"curl {url}/v1/models/{model}/predict -H 'x-api-key: {key}' --json '{body}'"


def document(record: KeyRecord) -> dict[str, Any]:
    """A key record for JSON: without its hash, which nobody needs to see."""
    return {
        "key_id": record.key_id,
        "customer": record.customer,
        "plan": record.plan.version,
        "models": list(record.models),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "state": state(record),
    }


def state(record: KeyRecord) -> str:
    """In a word: "active", "retiring" (rotated, in its grace period), "expired" or "revoked"."""
    if record.revoked_at:
        return "revoked"
    if not record.expires_at:
        return "active"
    return "retiring" if record.usable(now_ms()) else "expired"


def _state_text(record: KeyRecord) -> str:
    text = {
        "active": "[green]active[/]",
        "retiring": f"[yellow]until {time_text(record.expires_at)}[/]",
        "expired": "[dim]expired[/]",
        "revoked": f"[red]revoked {time_text(record.revoked_at)}[/]",
    }
    return text[state(record)]


def _reveal(key: str, model: str, where: Place) -> None:
    url = base_url(where)
    hint = "With `payphone serve` running, try it" if url == LOCAL else "Try it"
    show(f"\n  [bold green]{key}[/]\n", f"Keep it: it is shown this once. {hint}:\n")
    typer.echo(f"  {curl(key, model, url)}\n")
