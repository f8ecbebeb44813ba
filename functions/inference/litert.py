"""LiteRT without numpy: a model, loaded and run through the C library.

It is given bytes that somebody has verified: LiteRT checks a graph's structure, but runs altered
weights without a word. Inputs are copied into buffers that stay prepared for the shapes seen last;
a call of a shape seen before is one C call, whatever the number of tensors, or two if only the run tells
the outputs' shapes. All that they and the copies need is made beforehand: for a small model Python would
cost more than the graph.
"""

from __future__ import annotations

import mmap
from _thread import allocate_lock
from ctypes import CFUNCTYPE, addressof, byref, c_char, c_void_p, create_string_buffer
from time import perf_counter_ns

from functions.inference.graph import check_ops, read_signatures
from functions.inference.library import (
    CPU,
    DTYPES,
    Layout,
    Library,
    TensorType,
    find_library,
    status_name,
)
from functions.inference.runtime import RuntimeFailure, arrange
from functions.preprocess.tensors import ELEMENT, Tensor, element_count
from models.manifest import Signature, TensorSpec
from models.typed import Any, Callable, NamedTuple, Sequence

# How many shapes of inputs stay prepared for a signature; a server sees batch 1 and a few others.
PREPARED = 4

# XNNPACK reads up to 16 bytes past the end of its inputs.
_OVERREAD = 16

# What is set aside for an output with a free dimension, ten times what a Lambda can answer. It costs
# address space only (MAP_NORESERVE, which `mmap` has no name for). Behind a loop LiteRT itself doesn't
# know an output's size before it writes it, and XNNPACK wrote past a buffer that was made to measure.
RESERVED = 64 << 20
_NORESERVE = 0x4000
# A run under this keeps the GIL: a busy thread that lets go of it pays more than that to get it back.
SHORT_NS = 50_000

_CPU_OPTIONS, _RUNTIME_OPTIONS = b"xnnpack", b"runtime_options_string"
# What Tensor(…) does, without the constructor in Python between.
_new = tuple.__new__
_keep = CFUNCTYPE(None, c_void_p)(lambda payload: None)

_CODES = {name: code for code, name in DTYPES.items()}

_libraries: dict[str, Library] = {}
_loading = allocate_lock()


def _library(path: str) -> Library:
    with _loading:
        if path not in _libraries:
            _libraries[path] = Library(path)
        return _libraries[path]


class _Buffer(NamedTuple):
    """Memory that LiteRT reads or writes, and what it knows it by."""

    handle: c_void_p
    view: memoryview


_Answer = tuple[str, str, tuple[int, ...], Callable[..., bytes]]  # a Tensor, its data still to be read


class _Inputs(NamedTuple):
    """Buffers for one set of input shapes, in the signature's order."""

    header: list[tuple[Any, ...]]  # name, type and shape of each tensor as a call gives them
    buffers: tuple[_Buffer, ...]
    sinks: tuple[tuple[int, memoryview], ...]  # which tensor of a call goes where
    run: Callable[[], int]
    run_short: Callable[[], int]  # the same, keeping the GIL
    spent: list[int]  # nanoseconds of the last run
    answers: list[_Answer]  # what a run gives, once that is known and can't change


class _Entry:
    """One signature with its buffers: of inputs for the shapes seen last, of outputs for any shape."""

    def __init__(self, library: Library, index: int, signature: Signature, compiled: c_void_p) -> None:
        count = len(signature.outputs)
        self.index = index
        self.signature = signature
        self.inputs: dict[tuple[Any, ...], _Inputs] = {}
        self.last: _Inputs | None = None
        self.outputs = [_output(library, spec) for spec in signature.outputs]
        self.output_handles = _handles(self.outputs)
        layouts = self.layouts = (Layout * count)()
        self.ask = library.prepared(
            "GetCompiledModelOutputTensorLayouts", compiled, index, count, layouts, False, keeps_gil=True
        )
        self.laid_out = memoryview(layouts).cast("B").tobytes
        self.known = b""
        self.answers: list[_Answer] = []

    def read_layouts(self) -> list[_Answer]:
        """Name, type and shape of each output as `layouts` has them, and how its data is read."""
        if self.laid_out() == self.known:
            return self.answers
        answers: list[_Answer] = []
        for spec, layout, buffer in zip(self.signature.outputs, self.layouts, self.outputs, strict=True):
            shape, dtype = layout.shape, spec.dtype
            size = _size(dtype, shape)
            if size > len(buffer.view):
                raise RuntimeFailure(f"output {spec.name} has {size:,} bytes; {RESERVED:,} is the most")
            answers.append((spec.name, dtype, shape, buffer.view[:size].tobytes))
        self.answers, self.known = answers, self.laid_out()
        return answers


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


class LiteRTModel:
    """A `runtime.Runtime` on the C library. Calls take turns: a graph has one set of tensors."""

    def __init__(self, data: bytes, *, threads: int = 1, library: str | None = None) -> None:
        """Compile the graph; RuntimeFailure where this runtime can't, LibraryError without a library.

        One thread is the fastest for small models, and a Lambda below 1,769 MB has no more.
        """
        self._library = _library(library or find_library())
        self._data = data  # LiteRT reads weights from these bytes as long as the model lives
        self._lock = allocate_lock()
        self._threads = threads
        self._model, self._compiled = c_void_p(), c_void_p()
        self._entries: dict[str, _Entry] = {}
        try:
            self._library.call(
                "CreateModelFromBuffer", self._library.environment, data, len(data), byref(self._model)
            )
            self._settled = check_ops(self._library, self._model)
            self.signatures = read_signatures(self._library, self._model)
            self._compile()
            for index, (key, signature) in enumerate(self.signatures.items()):
                self._entries[key] = _Entry(self._library, index, signature, self._compiled)
        except BaseException:
            self.close()
            raise

    def run(self, key: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run signature `key`; see `runtime.Runtime.run`."""
        with self._lock:
            if not self._compiled:
                raise RuntimeFailure("the model is closed")
            try:
                entry = self._entries[key]
            except KeyError:
                known = ", ".join(self._entries)
                raise RuntimeFailure(f"the graph has no signature {key!r} (it has: {known})") from None
            header = [tensor[:3] for tensor in tensors]
            inputs = entry.last
            if inputs is None or header != inputs.header:
                inputs = self._choose(entry, header, tensors)
            for place, view in inputs.sinks:
                try:
                    view[:] = tensors[place].data  # type: ignore[assignment]
                except (TypeError, ValueError):
                    arrange(entry.signature.inputs, tensors)
                    raise
            answers = inputs.answers
            began = perf_counter_ns()
            status = (inputs.run_short if inputs.spent[0] < SHORT_NS else inputs.run)()
            inputs.spent[0] = perf_counter_ns() - began
            status = status or (0 if answers else entry.ask())
            if status:
                reason = self._library.errors(self._compiled) or "LiteRT gives no reason"
                raise RuntimeFailure(f"the run failed: {status_name(status)}: {reason}")
            if not answers:
                answers = entry.read_layouts()
                if self._settled:
                    inputs.answers.extend(answers)
            return [_new(Tensor, (name, dtype, shape, read())) for name, dtype, shape, read in answers]

    def close(self) -> None:
        """Free the graph and all its buffers."""
        with self._lock:
            self._library.destroy("CompiledModel", self._compiled)
            for entry in self._entries.values():
                for inputs in entry.inputs.values():
                    self._free(inputs.buffers)
                self._free(entry.outputs)
            self._entries.clear()
            self._library.destroy("Model", self._model)

    def __del__(self) -> None:
        if hasattr(self, "_entries"):
            self.close()

    def _compile(self) -> None:
        call, options = self._library.call, c_void_p()
        # The errors of a run are kept for `_invoke` instead of being written to stderr.
        settings = {
            _CPU_OPTIONS: f"num_threads = {self._threads}\n",
            _RUNTIME_OPTIONS: "error_reporter_mode = 2\n",
        }
        call("CreateOptions", byref(options))
        try:
            call("SetOptionsHardwareAccelerators", options, CPU)
            payloads = []
            for identifier, toml in settings.items():
                payloads.append(create_string_buffer(toml.encode()))
                opaque = c_void_p()
                call("CreateOpaqueOptions", identifier, payloads[-1], _keep, byref(opaque))
                call("AddOpaqueOptions", options, opaque)
            call(
                "CreateCompiledModel",
                self._library.environment,
                self._model,
                options,
                byref(self._compiled),
            )
        finally:
            self._library.destroy("Options", options)

    def _choose(self, entry: _Entry, header: list[tuple[Any, ...]], tensors: Sequence[Tensor]) -> _Inputs:
        key = tuple(header)
        inputs = entry.inputs.pop(key, None) or self._prepare(entry, header, tensors)
        entry.inputs[key] = entry.last = inputs  # the one used last is the last to be dropped
        return inputs

    def _prepare(self, entry: _Entry, header: list[tuple[Any, ...]], tensors: Sequence[Tensor]) -> _Inputs:
        ordered = arrange(entry.signature.inputs, tensors)
        batch = max((tensor.shape[0] for tensor in ordered if tensor.shape), default=1)
        for spec in entry.signature.outputs:
            size = _size(spec.dtype, tuple(batch if d < 0 else d for d in spec.shape))
            if size > RESERVED and min(spec.shape) < 0:
                raise RuntimeFailure(
                    f"output {spec.name} would have {size:,} bytes; {RESERVED:,} is the most"
                )
        while len(entry.inputs) >= PREPARED:
            self._free(entry.inputs.pop(next(iter(entry.inputs))).buffers)
        buffers = tuple(
            _buffer(self._library, dtype, shape, len(data) + _OVERREAD) for _, dtype, shape, data in ordered
        )
        names = [name for name, _, _ in header]
        places = [names.index(tensor.name) for tensor in ordered]
        sinks = tuple((place, buffer.view) for place, buffer in zip(places, buffers, strict=True))
        given, taken = (len(buffers), _handles(buffers)), (len(entry.outputs), entry.output_handles)
        run, run_short = (
            self._library.prepared(
                "RunCompiledModel", self._compiled, entry.index, *given, *taken, keeps_gil=keeps
            )
            for keeps in (False, True)
        )
        return _Inputs(header, buffers, sinks, run, run_short, [SHORT_NS], [])

    def _free(self, buffers: Sequence[_Buffer]) -> None:
        for buffer in buffers:
            self._library.destroy("TensorBuffer", buffer.handle)
