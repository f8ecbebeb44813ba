"""One signature of a loaded graph: its buffers, which stay, and what its calls need, made beforehand.

For a small model Python costs more than the graph. So for each set of input shapes it is put together once
where tensors go, how LiteRT is called and what comes out. A graph whose outputs' shapes follow from its
inputs' is never asked for them again. If besides its runs are short, and it takes one tensor and gives one,
as most do, it has a `Short`: all of a call that is not copy, run and read (`litert.LiteRTModel.run`).
"""

from __future__ import annotations

import mmap
from ctypes import addressof, byref, c_char, c_void_p
from time import perf_counter_ns

from functions.inference.library import DTYPES, Layout, Library, TensorType, status_name
from functions.inference.runtime import RuntimeFailure, arrange
from functions.preprocess.tensors import ELEMENT, Tensor, element_count
from models.manifest import Signature, TensorSpec
from models.typed import Any, Callable, NamedTuple, Sequence

# How many shapes of inputs stay prepared for a signature, and with how many bytes but for the last two. Texts
# come in as many lengths as they have words, and to prepare for each anew is a twentieth of what a small
# transformer takes.
PREPARED = 64
PREPARED_BYTES = 4 << 20

# XNNPACK reads up to 16 bytes past the end of its inputs.
_OVERREAD = 16

# What is set aside for an output with a free dimension, ten times what a Lambda can answer. It costs
# address space only (MAP_NORESERVE, which `mmap` has no name for). Behind a loop LiteRT itself doesn't
# know an output's size before it writes it, and XNNPACK wrote past a buffer that was made to measure.
RESERVED = 64 << 20
_NORESERVE = 0x4000
# A run under this keeps the GIL: a busy thread that lets go of it pays more than that to get it back.
SHORT_NS = 50_000

# What Tensor(…) does, without the constructor in Python between.
_new = tuple.__new__
_CODES = {name: code for code, name in DTYPES.items()}

_Answer = tuple[str, str, tuple[int, ...], Callable[..., bytes]]  # a Tensor, its data still to be read
# The input's name, type, shape and memory; a function that runs the graph, and its arguments; the output as
# an _Answer. Plain, because it is taken apart at each call.
Short = tuple[Any, ...]


class _Buffer(NamedTuple):
    """Memory that LiteRT reads or writes, and what it knows it by."""

    handle: c_void_p
    view: memoryview


class _Plan(NamedTuple):
    """Buffers for one set of input shapes, and how they are used."""

    header: list[tuple[Any, ...]]  # name, type and shape of each tensor as a call gives them
    buffers: tuple[_Buffer, ...]  # in the signature's order
    sinks: list[memoryview]  # in the order of `header`
    run: tuple[Callable[..., int], tuple[Any, ...]]  # a function and its arguments
    run_short: tuple[Callable[..., int], tuple[Any, ...]]  # the same, keeping the GIL
    spent: list[int]  # nanoseconds of the last run
    answers: list[_Answer]  # what a run gives, once that is known and can't change


class ReadySignature:
    """A signature with its buffers: of inputs for the shapes seen last, of outputs for any shape."""

    def __init__(
        self, library: Library, compiled: c_void_p, index: int, signature: Signature, settled: bool
    ) -> None:
        """`settled`: the shapes of the inputs alone decide those of the outputs."""
        count = len(signature.outputs)
        self._library, self._compiled, self._index = library, compiled, index
        self._signature, self._settled = signature, settled
        self._has_bool = any(spec.dtype == "bool" for spec in signature.inputs)
        self._is_simple = settled and not self._has_bool and count == len(signature.inputs) == 1
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._last: _Plan | None = None
        self._outputs = [_output(library, spec) for spec in signature.outputs]
        self._output_handles = _handles(self._outputs)
        layouts = self._layouts = (Layout * count)()
        self._ask = library.prepared(
            "GetCompiledModelOutputTensorLayouts", compiled, index, count, layouts, False, keeps_gil=True
        )
        self._laid_out = memoryview(layouts).cast("B").tobytes
        self._known = b""
        self._answers: list[_Answer] = []

    def run(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run on tensors in any order; see `runtime.Runtime.run`."""
        header = [tensor[:3] for tensor in tensors]
        plan = self._last
        if plan is None or header != plan.header:
            plan = self._choose(header, tensors)
        if self._has_bool:
            arrange(self._signature.inputs, tensors)
        for tensor, view in zip(tensors, plan.sinks, strict=True):
            try:
                view[:] = tensor.data  # type: ignore[assignment]
            except (TypeError, ValueError):
                arrange(self._signature.inputs, tensors)
                raise
        answers = plan.answers
        function, arguments = plan.run_short if plan.spent[0] < SHORT_NS else plan.run
        began = perf_counter_ns()
        status = function(*arguments)
        plan.spent[0] = perf_counter_ns() - began
        if not status and not answers:
            function, arguments = self._ask
            status = function(*arguments)
        if status:
            reason = self._library.errors(self._compiled) or "LiteRT gives no reason"
            raise RuntimeFailure(f"the run failed: {status_name(status)}: {reason}")
        if not answers:
            answers = self._read_layouts()
            if self._settled:
                plan.answers.extend(answers)
        return tuple([_new(Tensor, (name, dtype, shape, read())) for name, dtype, shape, read in answers])

    def short(self) -> Short | None:
        """What another call on the like of the tensors seen last needs, if that is enough for it.

        Good until the next `run`, which may free the memory that it names.
        """
        plan = self._last
        if plan is None or not (self._is_simple and plan.answers and plan.spent[0] < SHORT_NS):
            return None
        return (*plan.header[0], plan.sinks[0], *plan.run_short, *plan.answers[0])

    def free(self) -> None:
        """Free all buffers; nothing can run afterwards."""
        for plan in self._plans.values():
            self._free(plan.buffers)
        self._free(self._outputs)

    def _choose(self, header: list[tuple[Any, ...]], tensors: Sequence[Tensor]) -> _Plan:
        key = tuple(header)
        plan = self._plans.pop(key, None) or self._prepare(header, tensors)
        self._plans[key] = self._last = plan  # the one used last is the last to be dropped
        return plan

    def _prepare(self, header: list[tuple[Any, ...]], tensors: Sequence[Tensor]) -> _Plan:
        ordered = arrange(self._signature.inputs, tensors)
        batch = max((tensor.shape[0] for tensor in ordered if tensor.shape), default=1)
        for spec in self._signature.outputs:
            size = _size(spec.dtype, tuple(batch if d < 0 else d for d in spec.shape))
            if size > RESERVED and min(spec.shape) < 0:
                raise RuntimeFailure(
                    f"output {spec.name} would have {size:,} bytes; {RESERVED:,} is the most"
                )
        self._make_room()
        buffers = tuple(
            _buffer(self._library, dtype, shape, len(data) + _OVERREAD) for _, dtype, shape, data in ordered
        )
        views = {tensor.name: buffer.view for tensor, buffer in zip(ordered, buffers, strict=True)}
        given, taken = (len(buffers), _handles(buffers)), (len(self._outputs), self._output_handles)
        run, run_short = (
            self._library.prepared(
                "RunCompiledModel", self._compiled, self._index, *given, *taken, keeps_gil=keeps
            )
            for keeps in (False, True)
        )
        return _Plan(header, buffers, [views[name] for name, _, _ in header], run, run_short, [SHORT_NS], [])

    def _make_room(self) -> None:
        """Drop the shapes that were not seen for longest, until one more may be prepared."""
        sizes = [sum(len(buffer.view) for buffer in plan.buffers) for plan in self._plans.values()]
        left, kept = len(sizes), sum(sizes)
        for size in sizes[:-1]:  # the last is in use until another is
            if left < PREPARED and kept <= PREPARED_BYTES:
                return
            self._free(self._plans.pop(next(iter(self._plans))).buffers)
            left, kept = left - 1, kept - size

    def _read_layouts(self) -> list[_Answer]:
        """Name, type and shape of each output as `_layouts` has them, and how its data is read."""
        if self._laid_out() == self._known:
            return self._answers
        answers: list[_Answer] = []
        for spec, layout, buffer in zip(self._signature.outputs, self._layouts, self._outputs, strict=True):
            shape, dtype = layout.shape, spec.dtype
            size = _size(dtype, shape)
            if size > len(buffer.view):
                raise RuntimeFailure(f"output {spec.name} has {size:,} bytes; {RESERVED:,} is the most")
            answers.append((spec.name, dtype, shape, buffer.view[:size].tobytes))
        self._answers, self._known = answers, self._laid_out()
        return answers

    def _free(self, buffers: Sequence[_Buffer]) -> None:
        for buffer in buffers:
            self._library.destroy("TensorBuffer", buffer.handle)


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    return element_count(shape) * ELEMENT[dtype][1]


def _handles(buffers: Sequence[_Buffer]) -> Any:
    return (c_void_p * len(buffers))(*[buffer.handle.value for buffer in buffers])


def _output(library: Library, spec: TensorSpec) -> _Buffer:
    # A fixed one has to fit: into a constant's buffer LiteRT copies as much as the buffer holds.
    size = RESERVED if min(spec.shape, default=1) < 0 else _size(spec.dtype, spec.shape)
    return _buffer(library, spec.dtype, (size // ELEMENT[spec.dtype][1],), size)


def _buffer(library: Library, dtype: str, shape: tuple[int, ...], capacity: int) -> _Buffer:
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        memory = mmap.mmap(-1, max(capacity, 1), flags=flags)
    except OSError as error:
        raise RuntimeFailure(f"no memory for a tensor of {capacity:,} bytes: {error}") from error
    handle, kind = c_void_p(), TensorType(_CODES[dtype], Layout(len(shape), 0, shape))
    address = addressof(c_char.from_buffer(memory))
    library.call("CreateTensorBufferFromHostMemory", byref(kind), address, capacity, None, byref(handle))
    return _Buffer(handle, memoryview(memory)[: _size(dtype, shape)])
