"""The `payphone` command: puts the nouns together and turns every error into one sentence.

A command's module imports what it needs when it runs, so that `payphone --help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from infra.cli import (
    archive,
    customer,
    deploy,
    doctor,
    invoice,
    key,
    layer,
    marketplace,
    model,
    predict,
    price,
    quickstart,
    quote,
    receipts,
    reconcile,
    seal,
    serve,
    usage,
    verify,
    wallet,
    webhook,
)
from infra.cli.console import report
from infra.cli.context import DEFAULT_SERVICE, DEFAULT_STATE, Places

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage. With --json the result is one JSON document on "
    "standard output, and an error is one on standard error."
)


# As one meets them.
ORDER = (
    *("quickstart", "model", "predict", "serve", "customer", "key", "wallet", "webhook", "usage", "price"),
    *("quote", "invoice", "marketplace", "reconcile", "seal", "receipts", "verify"),
    *("layer", "deploy", "diff", "destroy", "archive", "doctor"),
)


class Root(TyperGroup):
    """The top command; no traceback leaves it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of the help."""
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run one command line and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(arguments, "payphone", standalone_mode=False, **extra)
        except Exception as error:
            code = report(error, as_json="--json" in arguments)
        sys.exit(code or 0)


app = typer.Typer(
    cls=Root,
    help="Turn a trained model into a pay-per-call HTTPS endpoint.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def place(
    ctx: typer.Context,
    state: Annotated[
        Path, typer.Option("--state", envvar="PAYPHONE_STATE", help="Folder that holds all state.")
    ] = DEFAULT_STATE,
    service: Annotated[
        Path | None,
        typer.Option("--service", envvar="PAYPHONE_SERVICE", help="Settings. Default: infra/service.toml."),
    ] = None,
) -> None:
    """Keep where things are for the command that follows."""
    ctx.obj = Places(state, service or DEFAULT_SERVICE)


app.command()(quickstart.quickstart)
app.command()(serve.serve)
app.add_typer(model.app, name="model")
app.command()(predict.predict)
app.add_typer(customer.app, name="customer")
app.add_typer(key.app, name="key")
app.add_typer(wallet.app, name="wallet")
app.add_typer(webhook.app, name="webhook")
app.command()(usage.usage)
app.command()(price.price)
app.command()(quote.quote)
app.add_typer(invoice.app, name="invoice")
app.command()(marketplace.marketplace)
app.command()(reconcile.reconcile)
app.add_typer(seal.app, name="seal")
app.add_typer(receipts.app, name="receipts")
app.command()(verify.verify)
app.add_typer(layer.app, name="layer")
app.command()(deploy.deploy)
app.command()(deploy.diff)
app.command()(deploy.destroy)
app.add_typer(archive.app, name="archive")
app.command()(doctor.doctor)
