"""`payphone wallet`: what customers have paid in advance."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import Failure, escape, print_json, show, table
from infra.cli.context import AsJson, CustomerArgument, OnStage, find_payer, names_by_id, on

if TYPE_CHECKING:
    from functions.metering.accounts import Entry
    from infra.place import Place

app = typer.Typer(help="Top up and show prepaid wallets.", no_args_is_help=True)

Currency = Annotated[
    str | None, typer.Option("--currency", metavar="CODE", help="ISO 4217. Default: the customer's plan's.")
]


@app.command("top-up")
def top_up(
    ctx: typer.Context,
    customer: CustomerArgument,
    amount: Annotated[str, typer.Argument(help="In whole units of the currency, such as 25 or 9.50.")],
    reference: Annotated[
        str,
        typer.Option("--reference", help="What names the payment. Doing it again with it changes nothing."),
    ],
    currency: Currency = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Put money into a customer's wallet.

    Example: payphone wallet top-up ada@example.com 25 --reference "transfer 2026-11-23"
    """
    from functions.billing.wallet import top_up

    _post(ctx, top_up, "Put in", (customer, amount, reference), currency, stage, as_json=as_json)


@app.command()
def refund(
    ctx: typer.Context,
    customer: CustomerArgument,
    amount: Annotated[str, typer.Argument(help="In whole units of the currency, such as 25 or 9.50.")],
    reference: Annotated[
        str,
        typer.Option("--reference", help="What names the repayment. Doing it again with it changes nothing."),
    ],
    currency: Currency = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Take money out of a customer's wallet, as you pay it back.

    Example: payphone wallet refund ada@example.com 9.50 --reference "transfer 2026-12-01"
    """
    from functions.billing.wallet import refund

    _post(ctx, refund, "Taken out", (customer, amount, reference), currency, stage, as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    customer: CustomerArgument,
    currency: Currency = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's balance and what was put in and settled.

    Example: payphone wallet show ada@example.com
    """
    from functions.billing.wallet import wallet_document

    place = context.place(ctx, stage)
    payer = find_payer(place, customer)
    code = _currency(ctx, place, payer, currency)
    with closing(place.accounts()) as accounts:
        wallet: dict[str, Any] = wallet_document(accounts, payer, code)
    if as_json:
        return print_json(wallet)
    rows = [
        (e["made_at"], e["kind"], escape(e["reference"]), escape(e["reason"]), e["amount"])
        for e in wallet["entries"]
    ]
    parts: list[Any] = [f"{payer} has [bold]{wallet['balance']} {code}[/] left."]
    if rows:
        parts.append(table(("Posted (UTC)", "Entry", "Reference", "For", f">{code}"), rows))
    show(*parts)


@app.command("list")
def list_(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """List all wallets with their balances.

    Example: payphone wallet list
    """
    from functions.metering.terms import amount_text

    place = context.place(ctx, stage)
    with closing(place.accounts()) as accounts:
        found = sorted(accounts.balances("wallet#"))
    wallets = [(*account.split("#")[1:], amount_text(balance)) for account, balance in found]
    if as_json:
        return print_json(
            {"wallets": [{"customer": who, "currency": code, "balance": left} for who, code, left in wallets]}
        )
    if not wallets:
        return show("No wallets yet. Fill one: [bold]payphone wallet top-up CUSTOMER AMOUNT --reference …[/]")
    names = names_by_id(place)
    rows = [(escape(names.get(who, "(erased)")), who, left, code) for who, code, left in wallets]
    show(table(("Customer", "Id", ">Balance", ""), rows))


def _post(
    ctx: typer.Context,
    posting: Callable[..., Entry],
    done: str,
    asked: tuple[str, str, str],
    currency: str | None,
    stage: str | None,
    *,
    as_json: bool,
) -> None:
    """Post what was asked (customer, amount, reference), and say so."""
    from functions.billing.wallet import entry_document, wallet_document
    from functions.metering.accounts import EntryConflict, Overdrawn
    from functions.metering.terms import amount_text

    customer, amount, reference = asked
    place = context.place(ctx, stage)
    payer = find_payer(place, customer)
    code = _currency(ctx, place, payer, currency)
    now_ms = context.now_ms()
    with closing(place.accounts()) as accounts:
        try:
            entry = posting(accounts, payer, code, context.amount_of(amount), reference, now_ms)
        except EntryConflict as error:
            before = f"{amount_text(abs(error.posted.amount))} {code}"
            raise Failure(
                f"the reference {reference!r} was used before, for {before}: a payment has its own"
            ) from None
        except Overdrawn:
            left = wallet_document(accounts, payer, code)["balance"]
            raise Failure(f"the wallet has {left} {code}: no more than that can be taken out") from None
        wallet = wallet_document(accounts, payer, code)
    made = entry.made_at == now_ms
    if as_json:
        return print_json({**wallet, "entry": entry_document(entry), "posted": made})
    said = done if made else f"{done} before, under this reference:"
    show(
        f"{said} {escape(amount)} {code}. The balance of {payer} is [bold]{wallet['balance']} {code}[/].",
        f"See: [bold]payphone wallet show {payer}{on(stage)}[/]",
    )


def _currency(ctx: typer.Context, place: Place, payer: str, given: str | None) -> str:
    """The currency that was asked for, or that of the prepaid plan the customer has a key on."""
    from functions.billing.currencies import MINOR_UNIT

    if given:
        if given not in MINOR_UNIT:
            raise Failure(f'{given} is no ISO 4217 code such as "USD", "EUR" or "JPY"')
        return given
    book = place.plan_book()
    with closing(place.keys()) as keys:
        plans = {key.plan.version for key in keys.list(payer)}
    found = {plan.currency for plan in map(book.get, plans) if plan.prepaid}
    if len(found) > 1:
        raise Failure(f"{payer} has wallets in {', '.join(sorted(found))}: say which with --currency")
    return found.pop() if found else context.settings(ctx).service.currency
