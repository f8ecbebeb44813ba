"""`payphone serve`: the local server in the foreground."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import context
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from functions.local.models import ServedModels


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is this machine only.")
    ] = context.HOST,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = context.PORT,
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="MODEL", help="Serve this model, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the models of service.toml over HTTP until Ctrl-C.

    With --json one line {"url", "models"} is printed once calls are answered.

    Example: payphone serve --port 8080
    """
    from infra.cli.console import console, escape
    from infra.serving import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    def started(url: str, models: ServedModels) -> None:
        if as_json:
            import json

            typer.echo(json.dumps({"url": url, "models": models.names()}))
            return
        out = console()
        out.print(f"[bold]Payphone[/] answers at [cyan]{url}[/] (docs: {url}/docs). Ctrl-C stops it.")
        served = ", ".join(models.names()) or "no model yet: run `payphone model train sentiment`"
        out.print(f"Models: {escape(served)}")

    configured = context.settings(ctx)
    served = dict.fromkeys((*configured.models.serve, *(also or ())))
    models = configured.models.model_copy(update={"serve": tuple(served)})
    run(context.workspace(ctx), configured.model_copy(update={"models": models}), host, port, started)
