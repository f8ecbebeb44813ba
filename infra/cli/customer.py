"""`payphone customer`: who pays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.bills import money
from infra.cli.console import escape, print_json, show, table, time_text
from infra.cli.context import (
    AsJson,
    CustomerArgument,
    Month,
    OnStage,
    find_customer,
    find_payer,
    names_by_id,
    on,
)

if TYPE_CHECKING:
    from functions.customers.record import Customer
    from infra.place import Place

app = typer.Typer(help="Add, list, show and erase customers.", no_args_is_help=True)


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


@app.command("show")
def show_(
    ctx: typer.Context,
    customer: CustomerArgument,
    month: Month = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's keys and plans, what is in their wallets, and what the month comes to.

    Example: payphone customer show ada@example.com
    """
    assert month is not None
    place = context.place(ctx, stage)
    payer = find_payer(place, customer)
    name = names_by_id(place).get(payer, "(erased)")
    document = {"customer": payer, "name": name, **_account(ctx, place, payer, month)}
    if as_json:
        return print_json(document)
    keys = [
        (k["key_id"], k["plan"], ", ".join(k["models"]) or "all", time_text(k["created_at"]), k["status"])
        for k in document["keys"]
    ]
    costs = [
        (c["currency"], f"{c['calls']:,}", money(c["total"]), money(c["projected_total"] or c["total"]))
        for c in document["costs"]
    ]
    parts: list[Any] = [f"[bold]{escape(name)}[/], {payer}"]
    if keys:
        parts.append(table(("Key", "Plan version", "Models", "Issued (UTC)", ""), keys))
    else:
        parts.append(f"No keys. Issue one: [bold]payphone key issue {payer} --plan PLAN{on(stage)}[/]")
    wallets = [(w["currency"], w["balance"]) for w in document["wallets"]]
    if wallets:
        parts.append(table(("Wallet", ">Balance"), wallets))
    title = f"{month} (UTC), {document['status']}"
    if costs:
        parts.append(table(("Currency", ">Calls", ">So far", ">By its end"), costs, title))
    else:
        parts.append(f"Nothing to pay in {month}.")
    show(*parts)


@app.command()
def erase(
    ctx: typer.Context,
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Erase who a customer is, with keys and webhooks; the books keep their id and their calls.

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
    with closing(place.outbox()) as outbox:
        for endpoint in outbox.endpoints():
            if endpoint.customer == found.customer_id:
                outbox.remove(endpoint.endpoint_id)
                place.vault().forget(endpoint.secrets)
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


def _account(ctx: typer.Context, place: Place, payer: str, month: str) -> dict[str, Any]:
    """Keys, wallets and the month's costs: of a closed month its invoices', else as of now."""
    from functions.billing.books import INVOICE, ClosedPast
    from functions.billing.invoices import draft_invoices, plans_held
    from functions.billing.projection import projected_totals
    from functions.metering.terms import amount_text

    now_ms, books, book = context.now_ms(), context.books(ctx, place), place.plan_book()
    with closing(place.keys()) as keys:
        records = [*keys.list(payer)]
    with closing(place.accounts()) as accounts:
        wallets = sorted(accounts.balances(f"wallet#{payer}#"))
    mine = books.of_customer(payer)
    projected: dict[str, Any] = {}
    if books.closed(month):
        status = "closed"
        found = [each for each in mine if each["type"] == INVOICE and each["month"] == month]
    else:
        status, past, usage = "draft", ClosedPast(books, mine), place.usage()
        held = plans_held(records, month, book.in_force)
        drafts = draft_invoices(month, usage, book, held, payer, past=past)
        found = [draft.document() for draft in drafts]
        projected = projected_totals(month, usage, book, held, payer, now_ms, past=past)
    return {
        "keys": [
            {
                "key_id": key.key_id,
                "plan": key.plan.version,
                "models": [*key.models],
                "created_at": key.created_at,
                "status": "usable" if key.usable(now_ms) else "not usable",
            }
            for key in records
        ],
        "wallets": [{"currency": name.split("#")[2], "balance": amount_text(left)} for name, left in wallets],
        "month": month,
        "status": status,
        "costs": [
            {
                "currency": each["currency"],
                "calls": each["rows"]["count"],
                "total": each["total"],
                "projected_total": format(projected[each["currency"]], "f")
                if each["currency"] in projected
                else None,
            }
            for each in found
        ],
    }
