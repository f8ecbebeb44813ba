"""`payphone receipts`: the customer fetches the proofs to his receipts, once their days are sealed."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli import context
from infra.cli.console import FAILED, Failure, escape, print_json, show
from infra.cli.context import AsJson

SECONDS = 30

app = typer.Typer(help="Fetch proofs to the receipts that came with your calls.", no_args_is_help=True)


@app.callback()
def receipts() -> None:
    """Keep the group, whatever the number of its commands."""


@app.command()
def fetch(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="RECEIPTS…", help="Files of receipts.", exists=True, dir_okay=False),
    ],
    output: Annotated[Path, typer.Option("--out", "-o", help="Proofs are added to this file, a line each.")],
    key: Annotated[str, typer.Option("--key", envvar="PAYPHONE_KEY", help="Your API key.", show_envvar=True)],
    url: Annotated[
        str, typer.Option("--url", envvar="PAYPHONE_URL", help="Where the service answers.")
    ] = context.LOCAL,
    as_json: AsJson = False,
) -> None:
    """Fetch the proof of each receipt that has none in the output file yet.

    The same with curl: curl -H "x-api-key: $KEY" "$URL/v1/receipts/$CALL?day=$DAY" >> proofs.jsonl

    Example: payphone receipts fetch headers.txt --out proofs.jsonl
    """
    from functions.billing.kept import read_evidence

    if not url.startswith(("http://", "https://")):
        raise Failure(f"--url {url!r}: an address that starts with https:// was expected")
    kept = read_evidence([(str(path), path.read_text()) for path in files]).receipts
    have = read_evidence([(str(output), output.read_text())]).proofs if output.exists() else []
    proven = {proof["call_id"] for proof in have if proof.get("status") == "sealed"}
    fetched, pending, missing = 0, [], []
    with output.open("a") as out:
        for call, receipt in sorted({*kept}):
            if call in proven:
                continue
            proof = _get(url, key, call, receipt.partition(".")[0])
            if proof is None:
                missing.append(call)
            elif proof["status"] == "pending":
                pending.append({"call_id": call, "sealed_after": proof["sealed_after"]})
            else:
                out.write(json.dumps(proof, separators=(",", ":")) + "\n")
                fetched += 1
    if as_json:
        print_json({"had": len(proven), "fetched": fetched, "pending": pending, "missing": missing})
    else:
        show(f"{fetched:,} proofs fetched, {len(proven):,} were there, all in {output}.")
        if pending:
            show(
                f"{len(pending):,} calls are not sealed yet; the first is after {pending[0]['sealed_after']}."
            )
        for call in missing[:10]:
            show(f"[red]✗[/] the service knows no billed call {escape(call)} of yours")
    if pending or missing:
        raise typer.Exit(FAILED)


def _get(url: str, key: str, call: str, day: str, waits: int = 10) -> dict[str, Any] | None:
    """One proof; None if there is none. Asked for too quickly, it waits as long as it is told to."""
    address = f"{url.rstrip('/')}/v1/receipts/{urllib.parse.quote(call, safe='')}?day={day}"
    request = urllib.request.Request(address, headers={"x-api-key": key})  # noqa: S310  http(s), checked above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404 and b"receipt-not-found" in error.read():
            return None
        pause = error.headers.get("retry-after", "1")
        if error.code == 429 and waits and pause.isdecimal():
            time.sleep(min(int(pause), 60))
            return _get(url, key, call, day, waits - 1)
        raise Failure(f"{address} answered {error.code}: {error.reason}") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{address} can't be fetched: {error}") from None
