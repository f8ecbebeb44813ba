"""`payphone webhook`: who is told of used-up quotas and spend caps, and whether they could be."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import Failure, escape, print_json, show, table, time_text
from infra.cli.context import AsJson, OnStage, find_payer, on

if TYPE_CHECKING:
    from functions.webhooks.outbox import Endpoint, Outbox

app = typer.Typer(help="Add, test and rotate webhooks.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Its id, as `payphone webhook list` shows it.")]
SHOWN = 20


@app.command()
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="An https address that takes a POST.")],
    customer: Annotated[
        str | None, typer.Option("--customer", help="Tell it of this customer only. Default: of all.")
    ] = None,
    event: Annotated[list[str] | None, typer.Option("--event", help="Only this type; repeat.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint. Its secret, which signatures are checked with, is shown once.

    Example: payphone webhook add https://example.com/payphone --customer ada@example.com
    """
    from functions.webhooks.alerts import TYPES
    from functions.webhooks.outbox import Endpoint
    from functions.webhooks.sending import check_url
    from functions.webhooks.signing import Secret, dumped, new_secret

    check_url(url)
    if unknown := sorted(set(event or ()) - set(TYPES.values())):
        raise Failure(f"{unknown[0]} is no type of event: {' or '.join(TYPES.values())} was expected")
    place = context.place(ctx, stage)
    payer = find_payer(place, customer) if customer else ""
    endpoint_id, secret = "whk_" + secrets.token_hex(8), new_secret()
    kept = place.vault().keep(endpoint_id, dumped([Secret(secret)]))
    endpoint = Endpoint(endpoint_id, url, payer, tuple(event or ()), kept, context.now_ms())
    with closing(place.outbox()) as outbox:
        outbox.save(endpoint)
    if as_json:
        return print_json({**_document(endpoint), "secret": secret})
    show(
        f"Added {endpoint_id}. Its secret, shown once: [bold]{secret}[/]",
        f"Try it: [bold]payphone webhook test {endpoint_id}{on(stage)}[/]",
    )


@app.command("list")
def list_(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """List the endpoints, and what came of the latest deliveries.

    Example: payphone webhook list
    """
    place = context.place(ctx, stage)
    with closing(place.outbox()) as outbox:
        endpoints, deliveries = outbox.endpoints(), outbox.deliveries()[:SHOWN]
    if as_json:
        said = [
            {name: value for name, value in each._asdict().items() if name != "body"} for each in deliveries
        ]
        return print_json({"endpoints": [_document(each) for each in endpoints], "deliveries": said})
    if not endpoints:
        return show("No webhooks yet. Add one: [bold]payphone webhook add URL[/]")
    rows = [
        (
            each.endpoint_id,
            escape(each.url),
            each.customer or "all",
            escape(", ".join(each.events) or "all"),
            escape(each.disabled) or "on",
        )
        for each in endpoints
    ]
    parts: list[Any] = [table(("Endpoint", "URL", "Customer", "Events", "State"), rows)]
    if deliveries:
        columns = ("Message", "Endpoint", "State", ">Attempts", "Said", "Next (UTC)")
        latest = [
            (
                each.message_id,
                each.endpoint_id,
                each.state,
                str(each.attempts),
                escape(each.said),
                time_text(each.due_at) if each.state == "waiting" else "-",
            )
            for each in deliveries
        ]
        parts.append(table(columns, latest, "Latest deliveries"))
    show(*parts)


@app.command()
def test(ctx: typer.Context, endpoint: Id, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Send a signed message of type webhook.test at once, and say what came of it.

    Example: payphone webhook test whk_0123456789abcdef
    """
    from functions.webhooks.alerts import TEST
    from functions.webhooks.delivery import Courier
    from functions.webhooks.outbox import Message

    place, now_ms = context.place(ctx, stage), context.now_ms()
    with closing(place.outbox()) as outbox:
        found = _find(outbox, endpoint)
        message = Message(
            f"msg_{secrets.token_hex(12)}", TEST, found.customer, now_ms, {"endpoint": endpoint}
        )
        sent = Courier(outbox, place.vault()).send(found, message.message_id, message.body, now_ms)
    if as_json:
        print_json(
            {"endpoint": endpoint, "delivered": sent.delivered, "status": sent.status, "said": sent.said}
        )
    else:
        show(f"{'Delivered' if sent.delivered else 'Not delivered'}: {escape(sent.said)}.")
    if not sent.delivered:
        raise typer.Exit(1)


@app.command()
def rotate(ctx: typer.Context, endpoint: Id, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Make a new secret. For a day messages carry a signature by the old one, too.

    Example: payphone webhook rotate whk_0123456789abcdef
    """
    from functions.webhooks.signing import dumped, loaded, rotated

    place = context.place(ctx, stage)
    with closing(place.outbox()) as outbox:
        found, vault = _find(outbox, endpoint), place.vault()
        held = rotated(loaded(vault.reveal(found.secrets)), context.now_ms())
        outbox.save(found._replace(secrets=vault.keep(endpoint, dumped(held)), disabled=""))
    if as_json:
        return print_json({"endpoint": endpoint, "secret": held[0].value})
    show(f"The new secret of {endpoint}, shown once: [bold]{held[0].value}[/]")


@app.command()
def remove(ctx: typer.Context, endpoint: Id, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Remove an endpoint, and what is on its way to it.

    Example: payphone webhook remove whk_0123456789abcdef
    """
    place = context.place(ctx, stage)
    with closing(place.outbox()) as outbox:
        found = _find(outbox, endpoint)
        outbox.remove(endpoint)
        place.vault().forget(found.secrets)
    if as_json:
        return print_json({"endpoint": endpoint, "removed": True})
    show(f"Removed {endpoint}.")


def _find(outbox: Outbox, endpoint_id: str) -> Endpoint:
    for endpoint in outbox.endpoints():
        if endpoint.endpoint_id == endpoint_id:
            return endpoint
    raise Failure(f"there is no endpoint {endpoint_id!r}: `payphone webhook list` shows those there are")


def _document(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpoint": endpoint.endpoint_id,
        "url": endpoint.url,
        "customer": endpoint.customer or None,
        "events": list(endpoint.events),
        "created_at": endpoint.created_at,
        "disabled": endpoint.disabled or None,
    }
