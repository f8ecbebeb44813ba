"""What a graph holds, read through the C library: its signatures, and what may be relied on at each call."""

from __future__ import annotations

from ctypes import byref, c_int, c_size_t, c_void_p

from functions.inference.library import DTYPES, Library, TensorType
from functions.inference.runtime import DEFAULT_SIGNATURE, ImpureGraph, RuntimeFailure
from models.manifest import Signature, TensorSpec

# The key under which LiteRT gives a graph that was converted without signatures.
_UNNAMED = "<placeholder signature>"

# Of LiteRtOpCode: variables (VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE) and chance
# (RANDOM_STANDARD_NORMAL, RANDOM_UNIFORM, MULTINOMIAL, RNG_BIT_GENERATOR).
_IMPURE = frozenset({142, 143, 144, 146, 148, 149, 204})

# LSTM, RNN, SVDF, and RNN and LSTM with UNIDIRECTIONAL_ or BIDIRECTIONAL_SEQUENCE_: these go on from the
# state that the last call left, and the C library has no function to reset it.
_STATEFUL = frozenset({16, 24, 27, 35, 44, 46, 52})

# Ops whose outputs' shapes follow from their inputs' shapes, whatever the values: ADD, AVERAGE_POOL_2D,
# CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, FULLY_CONNECTED, LOGISTIC, MAX_POOL_2D, MUL, RELU,
# SOFTMAX, TANH, GATHER, SUB, DIV, EXP, CAST, MAXIMUM, MINIMUM, NEG, GREATER, GREATER_EQUAL, SELECT, EQUAL,
# NOT_EQUAL, LOG, RSQRT, PACK, LOGICAL_OR, UNPACK, SQUARE, ABS, QUANTIZE, SELECT_V2, BATCH_MATMUL, ADD_N,
# BITCAST.
_SHAPED_BY_SHAPES = frozenset(
    {0, 1, 2, 3, 4, 6, 9, 14, 17, 18, 19, 25, 28, 36, 41, 42, 47, 53, 55, 57, 59, 61, 62}
    | {64, 71, 72, 73, 76, 83, 84, 88, 92, 101, 106, 114, 123, 126, 159}
)
# Ops that are told a shape, an axis, places or a size by some of their inputs, here by number. Such an input
# may be computed, so it has to be a constant. RESHAPE, PAD, TRANSPOSE, MEAN, ARG_MAX, EXPAND_DIMS, SUM,
# REDUCE_MAX, ONE_HOT, TOPK_V2; STRIDED_SLICE, SPLIT, SPLIT_V, SLICE.
_SHAPED_BY_CONSTANTS = {
    **dict.fromkeys((22, 34, 39, 40, 48, 56, 70, 74, 82, 85), (1,)),
    **{45: (1, 2, 3), 49: (0,), 102: (1, 2), 65: (1, 2)},
}


def read_signatures(library: Library, model: c_void_p) -> dict[str, Signature]:
    """The signatures by key, in the graph's order; RuntimeFailure where the binding can't serve one."""
    signatures = {}
    handle = c_void_p()
    for index in range(library.number("GetNumModelSignatures", model)):
        library.call("GetModelSignature", model, index, byref(handle))
        key = library.text("GetSignatureKey", handle)
        inputs, taken = _tensors(library, handle, "Input")
        outputs, given = _tensors(library, handle, "Output")
        # Such a tensor has two buffers here, and LiteRT fills one.
        if len({*taken, *given}) < len(taken) + len(given):
            raise RuntimeFailure(f"signature {key!r} has an output that is also an input or another output")
        signatures[DEFAULT_SIGNATURE if key == _UNNAMED else key] = Signature(inputs, outputs)
    return signatures


def check_ops(library: Library, model: c_void_p) -> bool:
    """Whether the inputs' shapes alone are sure to decide the outputs' shapes.

    ImpureGraph or RuntimeFailure where a call's answer could depend on the calls before it.
    """
    settled = True
    subgraph, op, code = c_void_p(), c_void_p(), c_int()
    for number in range(library.number("GetNumModelSubgraphs", model)):
        library.call("GetModelSubgraph", model, number, byref(subgraph))
        for place in range(library.number("GetNumSubgraphOps", subgraph)):
            library.call("GetSubgraphOp", subgraph, place, byref(op))
            library.call("GetOpCode", op, byref(code))
            if code.value in _IMPURE:
                raise ImpureGraph(f"the graph keeps variables or draws random numbers (op {code.value})")
            if code.value in _STATEFUL:
                raise RuntimeFailure(f"the graph has a fused recurrent layer (op {code.value})")
            told_by = () if code.value in _SHAPED_BY_SHAPES else _SHAPED_BY_CONSTANTS.get(code.value)
            settled = settled and told_by is not None and _are_constants(library, op, told_by)
    return settled


def _are_constants(library: Library, op: c_void_p, numbers: tuple[int, ...]) -> bool:
    count = library.number("GetNumOpInputs", op)
    tensor, weights, data, size = c_void_p(), c_void_p(), c_void_p(), c_size_t()
    for number in numbers:
        if number < count:
            library.call("GetOpInput", op, number, byref(tensor))
            library.call("GetTensorWeights", tensor, byref(weights))
            library.call("GetWeightsBytes", weights, byref(data), byref(size))
            if not size.value:
                return False
    return True


def _tensors(
    library: Library, signature: c_void_p, side: str
) -> tuple[tuple[TensorSpec, ...], list[int | None]]:
    specs, addresses = [], []
    tensor, kind = c_void_p(), TensorType()
    for number in range(library.number(f"GetNumSignature{side}s", signature)):
        name = library.text(f"GetSignature{side}Name", signature, number)
        library.call(f"GetSignature{side}TensorByIndex", signature, number, byref(tensor))
        library.call("GetRankedTensorType", tensor, byref(kind))
        if kind.dtype not in DTYPES:
            raise RuntimeFailure(f"{name} has LiteRT's element type {kind.dtype}, which can't be passed")
        specs.append(TensorSpec(name, DTYPES[kind.dtype], kind.layout.shape))
        addresses.append(tensor.value)
    return tuple(specs), addresses
