"""The Open Inference Protocol, version 2, with its binary-tensor extension, so that its clients just work.

Source: the protocol's REST specification and Triton's extension_binary_data. In a binary request
the first Inference-Header-Content-Length bytes are JSON; the tensors whose `binary_data_size` it
names follow in order. Answers go the same way when the request asks for binary outputs.
"""

from __future__ import annotations

from functions.calls.dialect import HEADER_LENGTH, JSON, Answer, Asked, ModelView, Receipt, Request
from functions.calls.problems import Problem
from functions.calls.v1 import check_units
from functions.inference.answers import answer_specs, answer_tensors
from functions.inference.codec import parse_json, tensor_from_list, texts_of
from functions.preprocess.tensors import Tensor
from models.manifest import Manifest, TensorSpec
from models.strict_json import dumps
from models.typed import Any, Mapping, NamedTuple, Sequence

BINARY = "application/octet-stream"
EXTENSIONS = ["binary_tensor_data"]

DATATYPE = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
    "bytes": "BYTES",
}
DTYPE = {datatype: dtype for dtype, datatype in DATATYPE.items() if dtype != "bytes"}


class Wanted(NamedTuple):
    """What a request asks of its answer: its id, and the outputs by name with whether each is binary."""

    id: str | None
    outputs: dict[str, bool] | None
    binary: bool


def server_metadata(version: str) -> dict[str, Any]:
    """GET /v2."""
    return {"name": "payphone", "version": version, "extensions": EXTENSIONS}


def model_metadata(manifest: Manifest, inputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """GET /v2/models/{m}: the tensors a caller gives and gets."""
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": "litert",
        "inputs": [_describe(spec) for spec in inputs],
        "outputs": [_describe(spec) for spec in answer_specs(manifest)],
    }


def describe(action: str, model: ModelView) -> bytes:
    """The answer to a question about a model: its metadata, or that it is ready."""
    manifest = model.manifest
    ready = {"name": manifest.name, "ready": True}
    document = ready if action == "ready" else model_metadata(manifest, model.inputs)
    return dumps(document).encode()


def decode(model: ModelView, request: Request) -> Asked:
    """Read the inputs, JSON or binary."""
    document, tail = _split(request)
    given = document.get("inputs")
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Problem(
            "invalid-request", '"inputs" should be a list of tensors: {"name", "shape", "datatype", "data"}.'
        )
    by_name = {item.get("name"): item for item in given if isinstance(item.get("name"), str)}
    specs = next((form for form in model.forms if by_name.keys() == {spec.name for spec in form}), None)
    if specs is None or len(given) != len(specs):
        expected = ", or ".join(", ".join(f'"{spec.name}"' for spec in form) for form in model.forms)
        raise Problem("invalid-input", f"Exactly the inputs {expected} were expected, each once.")
    raw = _raw_parts(given, tail)
    missing = model.takes_missing
    tensors = [_tensor(spec, by_name[spec.name], raw.get(spec.name), missing) for spec in specs]
    units = {tensor.shape[0] for tensor in tensors}
    if len(units) != 1:
        raise Problem(
            "invalid-input", "All inputs should have the same first dimension, the number of instances."
        )
    (count,) = units
    check_units(model, count)
    return Asked(tensors, count, _wanted(document, model.manifest))


def encode(model: ModelView, asked: Asked, outputs: Sequence[Tensor], receipt: Receipt) -> Answer:
    """Write the outputs that were asked for, or all of them, in the request's order."""
    wanted: Wanted = asked.recalled
    by_name = {tensor.name: tensor for tensor in answer_tensors(model.manifest, outputs, asked.units)}
    chosen = wanted.outputs or dict.fromkeys(by_name, wanted.binary)
    described, tail = [], []
    for name, binary in chosen.items():
        tensor = by_name[name]
        item: dict[str, Any] = {"name": name, "datatype": DATATYPE[tensor.dtype], "shape": list(tensor.shape)}
        if binary:
            from functions.inference.raw import raw_of  # for those who ask for bytes

            tail.append(raw_of(tensor))
            item["parameters"] = {"binary_data_size": len(tail[-1])}
            described.append(dumps(item))
        else:
            data = ",".join(texts_of(tensor))
            described.append(f'{dumps(item)[:-1]},"data":[{data}]}}')
    document: dict[str, Any] = {"model_name": model.manifest.name, "model_version": model.manifest.version}
    if wanted.id is not None:
        document["id"] = wanted.id
    parameters = {
        "call_id": receipt.call_id,
        "units": receipt.units,
        "billed": receipt.billed,
        **({} if receipt.billed else {"billed_version": receipt.billed_version}),
    }
    text = f'{dumps(document)[:-1]},"outputs":[{",".join(described)}],"parameters":{dumps(parameters)}}}'
    body = text.encode()
    if not tail:
        return Answer({"content-type": JSON}, body)
    return Answer({"content-type": BINARY, HEADER_LENGTH: str(len(body))}, body + b"".join(tail))


def _split(request: Request) -> tuple[dict[str, Any], bytes]:
    """Take the JSON header off the body; the rest is raw tensors."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("", JSON, BINARY):
        raise Problem(
            "unsupported-media-type", f"Content-Type: {JSON} or {BINARY} was expected, {media_type} came."
        )
    body, tail = request.body, b""
    length = request.headers.get(HEADER_LENGTH)
    if length is not None:
        if not (length.isascii() and length.isdigit() and int(length[:12]) <= len(body)):
            raise Problem(
                "invalid-request", f"Inference-Header-Content-Length should be from 0 to {len(body)}."
            )
        body, tail = body[: int(length)], body[int(length) :]
    elif media_type == BINARY:
        raise Problem(
            "invalid-request", f"A body of {BINARY} needs the header Inference-Header-Content-Length."
        )
    try:
        document = parse_json(body)
    except ValueError as error:
        raise Problem("invalid-json", f"The body could not be read: {error}.") from None
    if not isinstance(document, dict):
        raise Problem("invalid-request", 'The body should be an object like {"inputs": [...]}.')
    return document, tail


def _raw_parts(given: Sequence[Mapping[str, Any]], tail: bytes) -> dict[str, bytes]:
    """Cut the binary tail by each input's binary_data_size, in the request's order."""
    parts, at = {}, 0
    for item in given:
        parameters = item.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(tail) - at:
            raise Problem(
                "invalid-request", f'"binary_data_size" should fit the {len(tail)} bytes behind the JSON.'
            )
        parts[str(item["name"])] = tail[at : at + size]
        at += size
    if at != len(tail):
        raise Problem("invalid-request", f"{len(tail) - at} bytes behind the JSON belong to no input.")
    return parts


def _tensor(spec: TensorSpec, item: Mapping[str, Any], raw: bytes | None, takes_missing: bool) -> Tensor:
    shape, datatype = item.get("shape"), item.get("datatype")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise Problem("invalid-request", f'Input "{spec.name}" should have a "shape" of whole numbers.')
    if not isinstance(datatype, str) or datatype not in DTYPE:
        known = ", ".join(DTYPE)
        raise Problem("invalid-request", f'Input "{spec.name}" should have a "datatype" of {known}.')
    dtype = spec.dtype if DATATYPE[spec.dtype] == datatype else DTYPE[datatype]
    if raw is not None:
        from functions.inference.raw import tensor_from_raw  # for those who send them

        return tensor_from_raw(spec, dtype, tuple(shape), raw)
    return tensor_from_list(spec, dtype, tuple(shape), item.get("data"), takes_missing)


def _wanted(document: Mapping[str, Any], manifest: Manifest) -> Wanted:
    identity, parameters = document.get("id"), document.get("parameters")
    if identity is not None and not isinstance(identity, str):
        raise Problem("invalid-request", '"id" should be a string.')
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    asked = document.get("outputs")
    if not asked:
        return Wanted(identity, None, binary)
    known = [spec.name for spec in answer_specs(manifest)]
    outputs: dict[str, bool] = {}
    for item in asked if isinstance(asked, list) else [None]:
        if not isinstance(item, dict) or item.get("name") not in known:
            raise Problem("invalid-input", f'"outputs" should name some of {", ".join(known)}.')
        parameters = item.get("parameters")
        own = parameters.get("binary_data") if isinstance(parameters, dict) else None
        outputs[item["name"]] = binary if own is None else own is True
    return Wanted(identity, outputs, binary)


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPE[spec.dtype], "shape": list(spec.shape)}
