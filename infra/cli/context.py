"""What commands share: where the state is, the settings, and options that mean the same everywhere."""

from __future__ import annotations

import time
from contextlib import closing
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from functions.billing.books import Books
    from functions.customers.record import Customer
    from infra.place import Place
    from infra.service import Settings
    from infra.target import Target
    from infra.workspace import Workspace

HOST = "127.0.0.1"
PORT = 8080
DEFAULT_STATE = Path(".payphone")
DEFAULT_SERVICE = Path(__file__).parents[1] / "service.toml"
LOCAL = f"http://{HOST}:{PORT}"


class Places(NamedTuple):
    """What the options before the command's name say."""

    state: Path
    service: Path


def now_ms() -> int:
    """The time, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def places(ctx: typer.Context) -> Places:
    """The options before the command's name."""
    found = ctx.find_object(Places)
    assert found is not None
    return found


def workspace(ctx: typer.Context) -> Workspace:
    """The state folder, made if there is none."""
    from infra.workspace import Workspace

    return Workspace(places(ctx).state)


def settings(ctx: typer.Context) -> Settings:
    """service.toml, checked."""
    from infra.service import load

    return load(places(ctx).service)


def target(ctx: typer.Context, stage: str | None) -> Target:
    """The stage that a command is about: the named one, or else that of service.toml."""
    if find_spec("boto3") is None or find_spec("aws_cdk") is None:
        from infra.cli.console import Failure

        raise Failure("what works on AWS is not installed here: make cloud, or requirements/cloud.txt")
    from infra.target import find

    return find(settings(ctx).aws, stage)


def place(ctx: typer.Context, stage: str | None) -> Place:
    """What a command works on: the named stage, or else the state folder."""
    if stage is None:
        return workspace(ctx)
    from infra.cloud.stage import Stage

    return Stage(target(ctx, stage))


def books(ctx: typer.Context, where: Place) -> Books:
    """The closed invoices of a place, by the issuer that service.toml names."""
    return where.books(settings(ctx).service.name)


def base_url(where: Place) -> str:
    """Where the service of a place answers."""
    from infra.workspace import Workspace

    return LOCAL if isinstance(where, Workspace) else where.url


def on(stage: str | None) -> str:
    """The option that repeats a command's stage in a hint."""
    return f" --stage {stage}" if stage else ""


def _month(value: str | None) -> str:
    from functions.metering.usage import month_of, month_span

    if value is None:
        return month_of(now_ms())
    try:
        month_span(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
StageOption = Annotated[
    str | None, typer.Option("--stage", metavar="STAGE", help="Stage on AWS. Default: service.toml's.")
]
OnStage = Annotated[
    str | None,
    typer.Option("--stage", metavar="STAGE", help="Do it on this stage on AWS, not on this machine."),
]
Month = Annotated[
    str | None,
    typer.Option("--month", metavar="YYYY-MM", callback=_month, help="UTC month. Default: the current one."),
]
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Id, e-mail address or name.")]


def find_customer(place: Place, wanted: str) -> Customer:
    """The one customer that `wanted` names, by id, e-mail address or name; Failure if it is not one."""
    from infra.cli.console import Failure

    folded = wanted.casefold()
    found = [
        customer
        for customer in place.customers().list()
        if wanted == customer.customer_id or folded in (customer.email.casefold(), customer.name.casefold())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(c.customer_id for c in found)
        raise Failure(f"{len(found)} customers are called {wanted!r}: use an id ({ids})")
    raise Failure(f"there is no customer {wanted!r}: `payphone customer list` shows who there is")


def find_payer(place: Place, wanted: str) -> str:
    """The id of the customer that `wanted` names; also of an erased one, whose keys and calls stay."""
    with closing(place.keys()) as keys:
        if keys.list(wanted):
            return wanted
    return find_customer(place, wanted).customer_id


def amount_of(text: str) -> Decimal:
    """An amount of money that somebody typed; Failure if it is none."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        from infra.cli.console import Failure

        raise Failure(f"an amount such as 5 or 12.50 was expected, not {text!r}")
    return amount


def names_by_id(place: Place) -> dict[str, str]:
    """Customers' names; an erased customer has none."""
    return {customer.customer_id: customer.name for customer in place.customers().list()}
