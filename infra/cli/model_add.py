"""`payphone model add`: bring a model of one's own, and see it answer once."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import escape, print_json, show, table
from infra.cli.context import HOST, PORT, AsJson, settings, workspace
from infra.cli.model_facts import CANDIDATE_COLUMNS, candidates, facts

if TYPE_CHECKING:
    from infra.workspace import Workspace

SHORT = 200  # a body that still fits into a line


def add(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            help=".keras, .h5, .tflite, a SavedModel folder, .skops, an XGBoost or LightGBM file, a pickle."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="What the model is to be called.")],
    labels: Annotated[
        str | None, typer.Option("--labels", help="Its labels: a,b,c or @FILE with a label a line.")
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="Real rows (.csv, .jsonl) to prove it on and to try smaller weights."),
    ] = None,
    signature: Annotated[
        str | None, typer.Option("--signature", help="Which of the file's signatures to serve.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave quantised tensors as they are.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Open a file that may run code.")] = False,
    licence: Annotated[str, typer.Option("--licence", help="Under which terms it is served.")] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Add a model of your own: look at it, convert it, prove it, publish it, and call it once.

    Example: payphone model add iris.tflite --name iris --labels setosa,versicolor,virginica
    """
    from functions.calls.problems import MAX_BODY
    from infra.adopt.adopt import adopt
    from infra.cli.progress import StepBars

    place = workspace(ctx)
    options: dict[str, Any] = {
        "labels": _labels(labels),
        "sample": sample,
        "signature": signature,
        "raw": raw,
        "trust": trust,
        "licence": licence,
    }
    if as_json:
        adopted = adopt(path, name, place, **options)
    else:
        with StepBars() as bars:
            adopted = adopt(path, name, place, bars.on_progress, **options)
    manifest, notes = adopted.manifest, list(adopted.notes)
    answer = _call_once(place, manifest, adopted.request)
    body = json.dumps(adopted.request, separators=(",", ":"))
    if len(body) > MAX_BODY:
        notes.append(
            f"as JSON this instance has {len(body):,} bytes, and a request may have {MAX_BODY:,}: call it "
            f"through /v2/models/{name}/infer with binary tensors"
        )
    curl = _curl(place, name, body)
    if as_json:
        return print_json(
            {
                "model": name,
                "version": manifest.version,
                "live": adopted.live,
                "task": manifest.task,
                "labels": list(manifest.labels),
                "inputs": [spec._asdict() for spec in manifest.signatures["predict"].inputs],
                "outputs": [spec._asdict() for spec in manifest.signatures["predict"].outputs],
                "quantization": manifest.quantization,
                "bytes": manifest.model.size,
                "max_instances": manifest.max_instances,
                "parity": manifest.parity._asdict() | {"gate": manifest.parity.gate._asdict()},
                "candidates": manifest.training["candidates"],
                "notes": notes,
                "answer": answer,
                "curl": curl,
            }
        )
    show(table(("", escape(name)), facts(manifest, place.registry(), is_live=adopted.live)))
    if len(manifest.training["candidates"]) > 1:
        show(table(CANDIDATE_COLUMNS, candidates(manifest)))
    for note in notes:
        show(f"Note: {escape(note)}.")
    show(f"It answers: {escape(_shortened(json.dumps(answer, ensure_ascii=False)))}")
    if not adopted.live:
        show(f"An earlier version still answers: [bold]payphone model promote {name} {manifest.version}[/]")
    if name in settings(ctx).models.serve:
        serve = "payphone serve"
    else:
        serve = f"payphone serve --also {name}"
        show(f'To serve it always, add "{escape(name)}" to `serve` under \\[models] in service.toml.')
    show(f"With [bold]{serve}[/] running, and a key of [bold]payphone key issue[/] in PAYPHONE_KEY:")
    typer.echo(curl)


def _curl(place: Workspace, name: str, body: str) -> str:
    """The line that calls the model; a body that is too long for it comes from a file."""
    if len(body) > SHORT:
        file = place.work.absolute() / name / "request.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body, "utf-8")
        body = f"@{file}"
    return (
        f'curl -s http://{HOST}:{PORT}/v1/models/{name}/predict -H "x-api-key: $PAYPHONE_KEY" '
        f"-H 'content-type: application/json' -d {shlex.quote(body)}"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def _labels(text: str | None) -> list[str]:
    if text is None:
        return []
    if text.startswith("@"):
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return [label.strip() for label in text.split(",")]


def _call_once(place: Any, manifest: Any, request: dict[str, Any]) -> Any:
    """The published version's answer to one instance, by the code that serves it."""
    from functions.inference.answers import predictions
    from functions.inference.codec import choose_form, tensors_from_instances
    from functions.inference.engine import load

    registry, instances = place.registry(), request["instances"]
    model = load(manifest, lambda file: registry.read(manifest, file))
    try:
        tensors = tensors_from_instances(
            instances, choose_form(instances[0], model.forms), model.takes_missing
        )
        outputs = model.run(model.prepare(tensors))
        return json.loads(predictions(manifest, outputs, len(instances)))[0]
    finally:
        model.close()
