"""A ready .tflite of anyone's making → the same graph as Payphone serves it, or a refusal that says where.

What is served has one signature, "predict", whose tensors have names that a caller can type. Inputs
and outputs that are quantised (int8, uint8, int16 with a scale) become float32 by a QUANTIZE in front or
a DEQUANTIZE behind, unless the caller of `adapt` wants them raw. The weights stay as they are.

The schema's reader trusts what it reads: call this in a process that may die.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any, NamedTuple

import flatbuffers  # type: ignore[import-untyped]
from ai_edge_litert import schema_py_generated as schema

from models.convert.errors import ConversionError

PREDICT = "predict"
MAGIC = b"TFL3"
MOST_LABEL_BYTES = 1 << 20

_QUANTISED = (schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT16)
# Names that converters make up.
_MADE_UP = re.compile(r"^(Stateful)?PartitionedCall|^Identity|^serving_default_")


class Adapted(NamedTuple):
    """The bytes to serve, and what was done to them, in words."""

    data: bytes
    notes: list[str]


def adapt(data: bytes, *, signature: str | None = None, raw: bool = False) -> Adapted:
    """Make a file servable; ConversionError names what forbids it, its place and the remedy."""
    if data[4:8] != MAGIC:
        raise ConversionError("this is no LiteRT file: its bytes 4 to 8 should be TFL3")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
    except Exception as error:  # struct.error, IndexError, MemoryError …, by where the damage is
        raise ConversionError("the file is damaged or cut off: copy it again from its source") from error
    _refuse_foreign_ops(model)
    notes: list[str] = []
    chosen = _signature(model, signature, notes)
    if not raw:
        graph = model.subgraphs[chosen.subgraphIndex]
        for item in chosen.inputs:
            _open_input(model, graph, item, notes)
        for item in chosen.outputs:
            _open_output(model, graph, item, notes)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), MAGIC)
    return Adapted(bytes(builder.Output()), notes)


def bundled_labels(data: bytes) -> tuple[str, ...]:
    """The labels in the file's metadata (a zip behind the graph); () where there are none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = [item for item in archive.infolist() if item.filename.endswith(".txt")]
            texts.sort(key=lambda item: "label" not in item.filename.lower())
            if not texts or texts[0].file_size > MOST_LABEL_BYTES:
                return ()
            text = archive.read(texts[0]).decode("utf-8")
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError, OSError):
        return ()
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _refuse_foreign_ops(model: Any) -> None:
    """Name the first Flex or custom op, and where it stands."""
    for number, graph in enumerate(model.subgraphs):
        for place, op in enumerate(graph.operators or ()):
            code = model.operatorCodes[op.opcodeIndex]
            if code.customCode is None:
                continue
            name = code.customCode.decode("utf-8", "replace")
            into = _name(graph.tensors[op.outputs[0]]) if len(op.outputs) else "nothing"
            where = f"op {place} of subgraph {number}, which makes {into!r}"
            if name.startswith("Flex"):
                raise ConversionError(
                    f"{name} ({where}) is an op of TensorFlow that LiteRT has no builtin for. Convert the "
                    "model again without SELECT_TF_OPS, or bring its .keras file: recurrent layers become "
                    "loops of builtins here"
                )
            raise ConversionError(
                f"{name} ({where}) is a custom op, whose code is not in the file. Convert the model again "
                "with builtin ops only; a detector can end before its post-processing"
            )


def _signature(model: Any, wanted: str | None, notes: list[str]) -> Any:
    """The one signature to serve, named "predict"; made from the graph's tensors where there is none."""
    known = {item.signatureKey.decode(): item for item in model.signatureDefs or ()}
    if not known:
        model.signatureDefs = [_made(model.subgraphs[0])]
        notes.append("it has no signature: all inputs and outputs of the graph became one")
        return model.signatureDefs[0]
    usual = [key for key in (wanted, PREDICT, "serving_default") if key in known]
    if (wanted and wanted not in known) or not (usual or len(known) == 1):
        raise ConversionError(f"it has the signatures {', '.join(known)}: choose one with --signature")
    chosen = known[(usual or list(known))[0]]
    if len(known) > 1:
        notes.append(f"of its signatures {', '.join(known)}, {chosen.signatureKey.decode()} is served")
    chosen.signatureKey = PREDICT.encode()
    model.signatureDefs = [chosen]
    return chosen


def _made(graph: Any) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = PREDICT.encode(), 0
    made.inputs = _named(graph, graph.inputs, "input")
    made.outputs = _named(graph, graph.outputs, "output")
    return made


def _named(graph: Any, indices: Any, otherwise: str) -> list[Any]:
    items: list[Any] = []
    for number, index in enumerate(indices):
        name = _name(graph.tensors[index]).partition(":")[0]
        if _MADE_UP.match(name) or not re.fullmatch(r"[\w./-]{1,40}", name):
            name = name.removeprefix("serving_default_") if name.startswith("serving_default_") else otherwise
        if name in {item.name.decode() for item in items}:
            name = f"{name}_{number}"
        item = schema.TensorMapT()
        item.name, item.tensorIndex = name.encode(), int(index)
        items.append(item)
    return items


def _open_input(model: Any, graph: Any, item: Any, notes: list[str]) -> None:
    inner = item.tensorIndex
    if not _is_quantised(graph.tensors[inner]):
        return
    item.tensorIndex = _float_twin(graph, inner, notes, item.name.decode())
    graph.inputs = [item.tensorIndex if index == inner else index for index in graph.inputs]
    graph.operators.insert(0, _op(model, schema.BuiltinOperator.QUANTIZE, item.tensorIndex, inner))


def _open_output(model: Any, graph: Any, item: Any, notes: list[str]) -> None:
    inner = item.tensorIndex
    if not _is_quantised(graph.tensors[inner]):
        return
    item.tensorIndex = _float_twin(graph, inner, notes, item.name.decode())
    graph.outputs = [item.tensorIndex if index == inner else index for index in graph.outputs]
    graph.operators.append(_op(model, schema.BuiltinOperator.DEQUANTIZE, inner, item.tensorIndex))


def _is_quantised(tensor: Any) -> bool:
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return tensor.type in _QUANTISED and scale is not None and len(scale) == 1


def _float_twin(graph: Any, index: int, notes: list[str], name: str) -> int:
    """A float32 tensor of the same shape; gives its index."""
    tensor, twin = graph.tensors[index], schema.TensorT()
    twin.type, twin.buffer = schema.TensorType.FLOAT32, 0
    twin.shape, twin.shapeSignature, twin.hasRank = tensor.shape, tensor.shapeSignature, tensor.hasRank
    twin.name = tensor.name
    tensor.name = tensor.name + b"/quantised"
    graph.tensors.append(twin)
    scale, zero = tensor.quantization.scale[0], tensor.quantization.zeroPoint
    notes.append(
        f"{name} is quantised (scale {scale:.6g}, zero point {zero[0] if zero is not None else 0}): callers "
        "see float32; with --raw they see it as it is"
    )
    return len(graph.tensors) - 1


def _op(model: Any, builtin: int, given: int, taken: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    op = schema.OperatorT()
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.inputs, op.outputs = [given], [taken]
    return op


def _name(tensor: Any) -> str:
    return (tensor.name or b"").decode("utf-8", "replace")
