"""`payphone customer`: who pays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import escape, print_json, show, table, time_text
from infra.cli.context import AsJson, CustomerArgument, OnStage, find_customer, on

if TYPE_CHECKING:
    from functions.customers.record import Customer

app = typer.Typer(help="Add, list and erase customers.", no_args_is_help=True)


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name, as it goes on invoices.")],
    email: Annotated[str, typer.Argument(help="Where invoices go.")],
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Add a customer.

    Example: payphone customer add "Ada Ltd" ada@example.com
    """
    added = context.place(ctx, stage).customers().add(name, email)
    if as_json:
        return print_json(_document(added))
    show(
        f"Added [bold]{escape(added.name)}[/] as {added.customer_id}.",
        f"Give them a key: [bold]payphone key issue {added.customer_id} --plan starter{on(stage)}[/]",
    )


@app.command("list")
def list_(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """List the customers.

    Example: payphone customer list
    """
    found = context.place(ctx, stage).customers().list()
    if as_json:
        return print_json({"customers": [_document(customer) for customer in found]})
    if not found:
        return show("No customers yet. Add one: [bold]payphone customer add NAME EMAIL[/]")
    rows = ((c.customer_id, escape(c.name), escape(c.email), time_text(c.created_at)) for c in found)
    show(table(("Customer", "Name", "E-mail", "Added (UTC)"), rows))


@app.command()
def erase(
    ctx: typer.Context,
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Erase who a customer is and revoke their keys; the books keep their id and their calls.

    Example: payphone customer erase ada@example.com --yes
    """
    place = context.place(ctx, stage)
    found = find_customer(place, customer)
    if not yes:
        question = f"Erase {found.name} ({found.customer_id})? This can't be undone."
        typer.confirm(question, abort=True, err=True)
    with closing(place.keys()) as keys:
        revoked = [key.key_id for key in keys.list(found.customer_id) if not key.revoked_at]
        for key_id in revoked:
            keys.revoke(key_id)
    place.customers().erase(found.customer_id)
    if as_json:
        return print_json({"customer": found.customer_id, "erased": True, "keys_revoked": revoked})
    show(f"Erased {found.customer_id}; {len(revoked)} keys revoked. Usage and invoices stay, without a name.")


def _document(customer: Customer) -> dict[str, Any]:
    return {
        "customer": customer.customer_id,
        "name": customer.name,
        "email": customer.email,
        "created_at": customer.created_at,
    }
