"""Payphone's own dialect: {"instances": [...]} in, {"predictions": [...], ...} out.

{"instances": ["a text", {"text": "another"}]}
{"predictions": [...], "model": "sentiment", "version": "3",
 "usage": {"call_id": "...", "units": 2, "billed": true}}
"""

from __future__ import annotations

from functions.calls.dialect import JSON, Answer, Asked, ModelView, Receipt, Request
from functions.calls.problems import Problem
from functions.inference.answers import predictions
from functions.inference.codec import choose_form, parse_json, tensors_from_instances
from functions.preprocess.tensors import Tensor
from models.strict_json import quoted
from models.typed import Sequence

MEMBERS = frozenset(("instances",))


def decode(model: ModelView, request: Request) -> Asked:
    """Read the instances and stack them into tensors."""
    media_type = request.headers.get("content-type", "")
    if media_type != JSON and (media_type := media_type.partition(";")[0].strip().lower()) != JSON:
        came = f"{media_type} came" if media_type else "none came"
        raise Problem("unsupported-media-type", f"Content-Type: {JSON} was expected, {came}.")
    try:
        document = parse_json(request.body)
    except ValueError as error:
        raise Problem("invalid-json", f"The body could not be read: {error}.") from None
    if not isinstance(document, dict) or "instances" not in document:
        raise Problem("invalid-request", 'The body should be an object like {"instances": [...]}.')
    if len(document) > 1:
        name = min(document.keys() - MEMBERS)[:40]
        raise Problem("invalid-request", f'The body has the member "{name}"; only "instances" was expected.')
    instances = document["instances"]
    if not isinstance(instances, list):
        raise Problem("invalid-request", '"instances" should be a list, even for a single instance.')
    check_units(model, len(instances))
    specs = choose_form(instances[0], model.forms)
    return Asked(tensors_from_instances(instances, specs, model.takes_missing), len(instances), None)


def encode(model: ModelView, asked: Asked, outputs: Sequence[Tensor], receipt: Receipt) -> Answer:
    """Write the predictions and what they cost."""
    manifest = model.manifest
    found = predictions(manifest, outputs, asked.units)
    billed = "true" if receipt.billed else f'false,"billed_version":{quoted(receipt.billed_version)}'
    text = (
        f'{{"predictions":{found},"model":{quoted(manifest.name)},"version":{quoted(manifest.version)},'
        f'"usage":{{"call_id":{quoted(receipt.call_id)},"units":{receipt.units},"billed":{billed}}}}}'
    )
    return Answer({"content-type": JSON}, text.encode())


def check_units(model: ModelView, units: int) -> None:
    """Refuse an empty batch or one over the manifest's limit."""
    limit = model.manifest.max_instances
    if not 1 <= units <= limit:
        raise Problem(
            "invalid-input", f"From 1 to {limit} instances were expected, {units} came.", limit=limit
        )
