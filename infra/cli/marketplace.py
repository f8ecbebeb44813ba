"""`payphone marketplace`: usage for those who bought on AWS Marketplace, reported as it happens.

The Marketplace takes no record that is over six hours old, so this runs every hour and not with the
month's invoice. Whole hours are reported, each again on the next runs: a record that is there already
counts once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli import context
from infra.cli.console import escape, print_json, show, table
from infra.cli.context import AsJson, OnStage

WHOLE_HOURS = 5


def marketplace(
    ctx: typer.Context,
    product: Annotated[
        Path, typer.Argument(metavar="PRODUCT.toml", help="product_code, [dimensions], [buyers].")
    ],
    send: Annotated[bool, typer.Option("--send", help="Send them. Default: only show them.")] = False,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Report the last five whole hours to AWS Marketplace (BatchMeterUsage).

    The file names the product's code, under [dimensions] the dimension of each model, and under
    [buyers] the CustomerIdentifier of each of our customers who bought there. Nothing is sent without
    --send.

    Example: payphone marketplace product.toml --stage prod --send
    """
    from functions.billing.exports.meters import HOUR_MS, marketplace_records, send_to_marketplace
    from infra.marketplace import load

    sold = load(product)
    now_ms = context.now_ms()
    end = now_ms // HOUR_MS * HOUR_MS
    rows = context.place(ctx, stage).usage().rows(end - WHOLE_HOURS * HOUR_MS, end)
    records = [*marketplace_records(rows, sold.buyers, sold.dimensions)]
    if send:
        import boto3

        client = boto3.client("meteringmarketplace", region_name=sold.region)
        send_to_marketplace(client, sold.product_code, records, now_ms)
    if as_json:
        return print_json({"sent": send, "product_code": sold.product_code, "records": records})
    if not records:
        return show("No calls of the Marketplace's buyers in the last five whole hours.")
    from functions.billing.amounts import instant_text

    shown = [
        (
            instant_text(r["Timestamp"] * 1000),
            escape(r["CustomerIdentifier"]),
            r["Dimension"],
            f"{r['Quantity']:,}",
        )
        for r in records
    ]
    show(
        table(("Hour (UTC)", "Buyer", "Dimension", ">Quantity"), shown),
        f"Sent {len(records)} records." if send else "Nothing was sent: [bold]--send[/] sends them.",
    )
