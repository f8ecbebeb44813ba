"""`payphone seal`: put days of calls under signed roots, and look after the key that signs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli import context
from infra.cli.console import print_json, show, table
from infra.cli.context import AsJson, OnStage, on

app = typer.Typer(
    help="Seal days of calls under signed roots, which receipts are verified by.", no_args_is_help=True
)


@app.command()
def run(ctx: typer.Context, stage: OnStage = None, as_json: AsJson = False) -> None:
    """Seal the days in which nothing can change any more: from 27 hours after their end.

    The server does this by itself, a stage every night, and `payphone invoice close` seals the rest of its
    month. Sealed days are written into the daybook, too, which invoices are computed from. Running it again
    changes nothing.

    Example: payphone seal run
    """
    from infra.cli.progress import StepBars
    from infra.daybook import write_sealed_days

    place = context.place(ctx, stage)
    with place.sealing() as sealer:
        sealed = [sealer.seal(day) for day in sealer.due(context.now_ms())]
    with StepBars() as bars:
        write_sealed_days(place, context.books(ctx, place), bars.on_progress)
    if as_json:
        return print_json({"sealed": [{"seal": seal.name, "rows": seal.rows} for seal in sealed]})
    for seal in sealed:
        show(f"Sealed {seal.day}: {seal.rows - seal.void:,} calls of {len(seal.customers):,} customers.")
    if not sealed:
        show("Nothing is due. A day can be sealed 27 hours after its end.")


@app.command("list")
def list_(
    ctx: typer.Context,
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Only this UTC month.")] = "",
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """List the seals there are, with every customer's root.

    Example: payphone seal list --month 2026-11
    """
    seals = context.place(ctx, stage).seals()
    heads = [head for name in seals.names(month) for head in seals.day(name).customers.values()]
    if as_json:
        return print_json({"seals": [head.document() for head in heads]})
    if not heads:
        return show(f"No seals yet: [bold]payphone seal run{on(stage)}[/]")
    show(
        table(
            ("Seal", "Customer", ">Calls", "Root", "Key"),
            [(head.seal, head.customer, f"{head.size:,}", head.root, head.key) for head in heads],
        )
    )


@app.command()
def key(
    ctx: typer.Context,
    output: Annotated[Path | None, typer.Option("--out", "-o", help="Write it there, as PEM.")] = None,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Show the public key that seals are signed with. Publish it where you can't change it unseen.

    Customers give it to `payphone verify --public-key`.

    Example: payphone seal key --out payphone-seal.pem
    """
    from functions.metering.signing import to_pem

    place = context.place(ctx, stage)
    with place.sealing() as sealer:
        known = sealer.publish_key()
    if output:
        output.write_text(to_pem(known))
    if as_json:
        return print_json({**known._asdict(), "pem": to_pem(known)})
    show(f"Key {known.id}, Ed25519" + (f", vouched for by {known.previous}" if known.previous else ""))
    show(f"Written to {output}" if output else to_pem(known).rstrip())


@app.command()
def rotate(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Sign with a new key from now on. The old one vouches for it, and its private half is deleted.

    On AWS the key is KMS's: make another there, and deploy.

    Example: payphone seal rotate
    """
    old, new = context.workspace(ctx).rotate_sealing_key()
    if as_json:
        return print_json({"key": new.id, "previous": old.id})
    show(f"Seals are signed with key {new.id} from now on; key {old.id} vouches for it.")
