"""`payphone verify`: the customer's own check of an invoice. Needs the files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import FAILED, Failure, escape, print_json, show
from infra.cli.context import AsJson

if TYPE_CHECKING:
    from functions.billing.verify import Verdict

A_FILE = {"exists": True, "dir_okay": False}


def verify(
    invoice: Annotated[Path, typer.Argument(metavar="INVOICE", help="The invoice, as JSON.", **A_FILE)],
    receipts: Annotated[
        list[Path], typer.Argument(metavar="RECEIPTS…", help="Receipts and proofs.", **A_FILE)
    ],
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", metavar="PEM", help="The key you trust; repeat.", **A_FILE),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an invoice against the receipts that came with the answers: no account, no network.

    RECEIPTS are files of saved headers (`curl -D`), of lines "call-id receipt", or of proofs as
    `payphone receipts fetch` writes them. Exit code 0 only if everything fits.

    Example: payphone verify invoice.json headers.txt proofs.jsonl --public-key payphone-seal.pem
    """
    from functions.billing.kept import read_evidence
    from functions.billing.verify import verify as check
    from functions.metering.signing import from_pem

    evidence = read_evidence([(str(path), _text(path)) for path in receipts])
    pinned = [from_pem(path.read_bytes()) for path in public_key or ()]
    verdict = check(_invoice(invoice), evidence, pinned)
    if as_json:
        print_json({"verified": not verdict.wrong, **verdict._asdict()})
    else:
        _tell(verdict)
    if verdict.wrong:
        raise typer.Exit(FAILED)


def _tell(verdict: Verdict) -> None:
    named = escape(verdict.invoice or "The invoice")
    proven = (
        f"{verdict.calls:,} calls billed, {verdict.proven:,} proven by your {verdict.receipts:,} receipts"
    )
    facts = f"{proven}; signed roots: {verdict.seals:,}, key {escape(', '.join(verdict.keys)) or 'none'}."
    head = "[bold red]does not fit[/]" if verdict.wrong else "[bold green]verified[/]"
    show(f"{named}: {head}. {facts}")
    for sentence in verdict.wrong:
        show(f"[red]✗[/] {escape(sentence)}")
    for note in verdict.notes:
        show(f"[dim]·[/] {escape(note)}")


def _invoice(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_text(path))
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}") from None
    if isinstance(document, dict) and isinstance(several := document.get("invoices"), list):
        if len(several) != 1:
            raise Failure(f"{path} holds {len(several)} invoices: one was expected")
        (document,) = several
    if not isinstance(document, dict):
        raise Failure(f"{path}: an invoice as a JSON object was expected")
    return document


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Failure(f"{path} is no text file") from None
