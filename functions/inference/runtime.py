"""What every runtime shares: its interface, its errors, and the check of tensors before they are handed over.

LiteRT itself is lenient where a paid answer can't be: it resizes to shapes that mean something
else, and an input that was never set runs as zeros. So nothing reaches it unchecked.
"""

from __future__ import annotations

from functions.preprocess.tensors import ELEMENT, InputError, Tensor, element_count, shape_fits
from models.manifest import Signature, TensorSpec
from models.typed import Protocol, Sequence

# The key of a graph that was converted without one.
DEFAULT_SIGNATURE = "predict"


class RuntimeFailure(Exception):
    """The runtime can't load the model or can't run it; the message carries the runtime's own reason."""


class ImpureGraph(RuntimeFailure):
    """The graph's answers depend on more than its inputs, so that a replayed call would answer otherwise."""


class Runtime(Protocol):
    """A loaded model. Safe to share between threads, which then take turns."""

    signatures: dict[str, Signature]

    def run(self, key: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run one signature on inputs in any order; outputs come in the signature's order.

        InputError where the tensors don't fit the signature, RuntimeFailure where the run fails.
        """

    def close(self) -> None:
        """Free everything; running afterwards is a RuntimeFailure. Closing twice does nothing."""


def arrange(specs: Sequence[TensorSpec], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Give `tensors` in the order of `specs`; InputError where a name, type, shape or size is not theirs."""
    if [tensor.name for tensor in tensors] == [spec.name for spec in specs]:
        return list(map(_checked, specs, tensors))
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) != len(tensors) or given.keys() != {spec.name for spec in specs}:
        expected = ", ".join(spec.name for spec in specs)
        came = ", ".join(tensor.name for tensor in tensors) or "none"
        raise InputError(f"the inputs {expected} were expected, each once; what came: {came}")
    return [_checked(spec, given[spec.name]) for spec in specs]


def _checked(spec: TensorSpec, tensor: Tensor) -> Tensor:
    name, dtype, shape, data = tensor
    if dtype != spec.dtype:
        raise InputError(f"input {name} is {dtype}; {spec.dtype} was expected")
    if not shape_fits(shape, spec.shape):
        raise InputError(
            f"input {name} has the shape {_text(shape)}; {_text(spec.shape)} was expected (-1: any size)"
        )
    count = element_count(shape)
    if count < 1 or min(shape, default=1) < 1:
        raise InputError(f"input {name} has the shape {_text(shape)}; at least one element was expected")
    size = count * ELEMENT[dtype][1] if dtype in ELEMENT else count
    if len(data) != size:
        unit = "bytes" if dtype in ELEMENT else "elements"
        raise InputError(f"input {name} has {len(data)} {unit}; its shape {_text(shape)} needs {size}")
    if dtype == "bool" and max(data) > 1:  # type: ignore[operator]
        raise InputError(f"input {name} has a byte above 1; 0 or 1 was expected of a bool")
    return tensor


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
