"""`payphone deploy`, `diff` and `destroy`: a stage of the service on AWS."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.console import Failure, escape, print_json, show, size_text, table
from infra.cli.context import AsJson, StageOption, settings, target, workspace


def deploy(ctx: typer.Context, stage: StageOption = None, as_json: AsJson = False) -> None:
    """Deploy the service to AWS: its models, plans and settings as they are here.

    A version that has become live here is made ready on the stage; `payphone model promote --stage`
    makes it live there.

    Example: payphone deploy --stage prod
    """
    from infra.deploy import deploy as run

    configured, place, to = settings(ctx), workspace(ctx), target(ctx, stage)
    done = run(configured, place, to, lambda step: None if as_json else show(f"{escape(step)} …"))
    if as_json:
        return print_json(
            {
                "stage": to.stage,
                "region": to.region,
                "url": done.outputs["ApiUrl"],
                "models": {name: {"deployed": v, "live": done.live[name]} for name, v in done.models.items()},
                "layer_bytes": done.layer_bytes,
                "seconds": round(done.seconds, 1),
                "outputs": done.outputs,
            }
        )
    rows = [(escape(name), version, done.live[name]) for name, version in done.models.items()]
    show(
        table(("Model", "Deployed", "Live"), rows),
        f"[bold]{to.stage}[/] answers at [cyan]{done.outputs['ApiUrl']}[/] "
        f"({size_text(done.layer_bytes)} of layers, {done.seconds:.0f} s)",
    )
    for name, version in done.models.items():
        if done.live[name] != version:
            command = f"payphone model promote {name} {version} --stage {to.stage}"
            show(f"{escape(name)} {version} is ready: [bold]{command}[/]")


def diff(ctx: typer.Context, stage: StageOption = None, as_json: AsJson = False) -> None:
    """Show what a deploy would change.

    Example: payphone diff --stage prod
    """
    from infra.deploy import assemble

    to = target(ctx, stage)
    _, cdk = assemble(settings(ctx), workspace(ctx), to)
    said = cdk.diff()
    if as_json:
        return print_json({"stage": to.stage, "diff": said})
    typer.echo(said)


def destroy(
    ctx: typer.Context,
    stage: StageOption = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Drop the ledger, the archive, customers and models, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a stage down. What invoices are made of stays, unless --with-data.

    The stage's keys end with it, and its address.

    Example: payphone destroy --stage dev
    """
    from infra.teardown import destroy as run

    to = target(ctx, stage)
    if not yes:
        what = f"all data of {to.stage}, what was never invoiced included" if with_data else f"{to.stage}"
        given = typer.prompt(f"To destroy {what}, type the stage's name", err=True)
        if given != to.stage:
            raise Failure(f"{given!r} is not {to.stage}: nothing was changed")
    kept = run(to, with_data=with_data, on_step=lambda step: None if as_json else show(f"{escape(step)} …"))
    if as_json:
        return print_json({"stage": to.stage, "destroyed": True, "kept": kept})
    if kept:
        show(
            "Kept, for money depends on it: " + ", ".join(map(escape, kept)),
            "To drop it as well: [bold]payphone destroy --with-data[/]",
        )
    show(f"{to.stage} is gone.")
