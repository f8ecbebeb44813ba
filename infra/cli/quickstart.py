"""`payphone quickstart`: the whole way from a Keras LSTM to an invoice, shown step by step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from infra.cli import context
from infra.cli.console import console, escape, show
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from functions.billing.invoices import Invoice
    from infra.pipeline import Built
    from infra.place import Place
    from infra.quickstart import Exchange

MODEL = "sentiment"


class Counter(NamedTuple):
    """Where calls are sold: a place, the address it answers at, and a name to note its key under.

    On AWS there is more: what the deploy took, a key that has to become known, records to look into.
    """

    place: Place
    url: str
    name: str
    deployed: Mapping[str, float] = MappingProxyType({})
    await_key: Callable[[str], None] = lambda key: None
    find_again: Callable[[Sequence[Exchange]], dict[str, int]] = lambda exchanges: {}


class Sold(NamedTuple):
    """What came of it: calls by effect, rows that are billed, and where else they were found again."""

    key: str
    counts: dict[str, int]
    billed: int
    found: dict[str, int]
    invoice: Invoice

    def check(self) -> None:
        """Unexpected unless every answered call was billed and found everywhere, and no other."""
        from infra.quickstart import Unexpected

        answered = self.counts["answered"]
        if {self.billed, *self.found.values()} != {answered}:
            said = "".join(f", {name} {count}" for name, count in self.found.items())
            raise Unexpected(f"{answered} calls were answered and {self.billed} billed{said}")


def quickstart(
    ctx: typer.Context,
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Train anew even if nothing has changed.")] = False,
    cloud: Annotated[
        bool, typer.Option("--cloud", help="Sell from AWS: a local one, or with --stage your account.")
    ] = False,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="STAGE", help="Deploy to this stage of your account.")
    ] = None,
) -> None:
    """Train a model, prove its conversion, serve it, sell calls to a customer, and invoice them.

    Ends with one line of JSON under --json: accuracy, parity, model_bytes, calls_answered,
    calls_refused, calls_replayed, calls_billed, invoice_total, currency, seconds. With --cloud also
    ledger_rows, archive_rows, access_log_rows (the billed calls found there), deploy_seconds, layer_bytes.

    Example: payphone quickstart --cloud
    """
    from infra.cli import quickstart_screen as screen
    from infra.cli.progress import StepBars
    from infra.pipeline import build

    started = time.monotonic()
    home, cloud = context.workspace(ctx), cloud or stage is not None
    if cloud:
        context.target(ctx, stage)  # what is missing for it is better said before a training than after
    with StepBars() as bars:
        built = build(MODEL, home, bars.on_progress, force=force)
    home.registry().promote(MODEL, built.manifest.version)
    if not as_json:
        screen.tell_built(built)
    with _on_aws(ctx, stage) if cloud else _here(ctx) as counter:
        sold = _sell(counter, home.work / counter.name, built, as_json)
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps({**_summary(built, sold, seconds), **sold.found, **counter.deployed}))
    else:
        screen.tell_sums(sold.counts, sold.billed, seconds)
        if cloud:
            screen.tell_next_on_aws(ctx, counter.url, MODEL, sold.key, stage)
        else:
            screen.tell_next_here(ctx, MODEL, sold.key)
    sold.check()


def _sell(counter: Counter, note: Path, built: Built, as_json: bool) -> Sold:
    """Make the calls, and find their rows and their invoice."""
    from infra.cli import quickstart_screen as screen
    from infra.cli.invoice import drafts, invoice_table
    from infra.quickstart import billed_rows, call_as_a_customer, customer_with_key

    customer, key, record = customer_with_key(counter.place, note)
    if not as_json:
        show(f"[bold]Serve[/]    {MODEL} answers at {counter.url}, {escape(customer.name)} has a key.")
    with _waiting("Calling as a customer would", as_json):
        counter.await_key(key)
        exchanges = list(call_as_a_customer(counter.url, key, MODEL, built.examples))
    counts = {effect: sum(e.effect == effect for e in exchanges) for effect in screen.STYLES}
    if not as_json:
        screen.tell_calls(exchanges)
    with _waiting("Waiting for what was written down to arrive", as_json):
        billed = billed_rows(counter.place, record, counts["answered"])
        found = counter.find_again(exchanges)
    (invoice,) = drafts(counter.place, _this_month(), customer.customer_id)
    if not as_json:
        screen.tell_found(found)
        show(invoice_table(invoice, customer.name))
    return Sold(key, counts, billed, found, invoice)


@contextmanager
def _here(ctx: typer.Context) -> Iterator[Counter]:
    """The local server."""
    from infra.plans import publish_plans
    from infra.quickstart import running_server

    home, where = context.workspace(ctx), context.places(ctx)
    publish_plans(context.settings(ctx), home)
    with running_server(home.root, where.service, home.logs / "quickstart-server.log") as url:
        yield Counter(home, url, "quickstart-key-id")


@contextmanager
def _on_aws(ctx: typer.Context, stage: str | None) -> Iterator[Counter]:
    """A stage, deployed just now: of the operator's account or, if none is named, of a local AWS."""
    from infra import local_aws
    from infra.cli.progress import StepBars
    from infra.cloud.stage import Stage
    from infra.deploy import STEPS, deploy
    from infra.quickstart_aws import find_again, wait_for_key

    home = context.workspace(ctx)
    with ExitStack() as stack:
        with StepBars() as bars:
            if stage is None:
                on_local = bars.steps("aws", 1)
                on_local("Starting a local AWS; the first time it is installed, about a minute")
                endpoint = stack.enter_context(local_aws.running(home.logs / "local-aws.log"))
                on_local(f"A local AWS answers at {endpoint}", over=True)
            on_step, to = bars.steps("deploy", STEPS), context.target(ctx, stage)
            done = deploy(context.settings(ctx), home, to, on_step)
            on_step(f"Stage {to.stage} is deployed with the CDK, in {done.seconds:.0f} s", over=True)
        there = Stage(to)
        yield Counter(
            there,
            there.url,
            f"quickstart-key-id-{stage or 'local-aws'}",
            {"deploy_seconds": round(done.seconds, 1), "layer_bytes": done.layer_bytes},
            lambda key: wait_for_key(there.url, key),
            lambda exchanges: find_again(there, exchanges),
        )


def _summary(built: Built, sold: Sold, seconds: float) -> dict[str, Any]:
    parity, counts = built.manifest.parity, sold.counts
    return {
        "accuracy": round(built.manifest.training["metric"]["value"], 4),
        "parity": {"rows": parity.rows, "agreement": parity.agreement, "max_diff": parity.max_diff},
        "model_bytes": built.manifest.model.size,
        "calls_answered": counts["answered"],
        "calls_refused": counts["refused"],
        "calls_replayed": counts["replayed"],
        "calls_billed": sold.billed,
        "invoice_total": format(sold.invoice.total, "f"),
        "currency": sold.invoice.currency,
        "seconds": round(seconds, 1),
    }


def _this_month() -> str:
    from functions.metering.usage import month_of

    return month_of(context.now_ms())


@contextmanager
def _waiting(text: str, as_json: bool) -> Iterator[None]:
    """A spinner, for people."""
    with ExitStack() as stack:
        if not as_json:
            stack.enter_context(console().status(text))
        yield
