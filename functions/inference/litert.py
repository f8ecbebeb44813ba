"""LiteRT without numpy: a model, loaded and run through the C library.

It is given bytes that somebody has verified: LiteRT checks a graph's structure, but runs altered
weights without a word. Inputs are copied into buffers that stay prepared for the shapes seen last;
a call of a shape seen before is three C calls, whatever the number of tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CFUNCTYPE, byref, c_char, c_int, c_void_p, create_string_buffer
from threading import Lock
from typing import Any, NamedTuple

from functions.inference.graph import check_ops, read_signatures
from functions.inference.library import (
    CPU,
    DTYPES,
    HOST_MEMORY,
    Layout,
    Library,
    TensorType,
    find_library,
    status_name,
)
from functions.inference.runtime import RuntimeFailure, arrange
from functions.preprocess.tensors import ELEMENT, Tensor, element_count
from models.manifest import Signature, TensorSpec

# How many shapes of inputs stay prepared for a signature; a server sees batch 1 and a few others.
PREPARED = 4

# XNNPACK reads up to 16 bytes past the end of its inputs.
_OVERREAD = 16

_CPU_OPTIONS, _RUNTIME_OPTIONS = b"xnnpack", b"runtime_options_string"
_keep = CFUNCTYPE(None, c_void_p)(lambda payload: None)

_CODES = {name: code for code, name in DTYPES.items()}

_libraries: dict[str, Library] = {}
_loading = Lock()


def _library(path: str) -> Library:
    with _loading:
        if path not in _libraries:
            _libraries[path] = Library(path)
        return _libraries[path]


class _Buffer(NamedTuple):
    """Memory that LiteRT owns, and our view of it as bytes."""

    handle: c_void_p
    view: memoryview


class _Inputs(NamedTuple):
    """Buffers for one set of input shapes, in the signature's order; `places`: where a call has each."""

    places: tuple[int, ...]
    buffers: tuple[_Buffer, ...]
    handles: Any


class _Entry:
    """One signature with its buffers. Those of the outputs only grow: any shape's outputs fit in them."""

    def __init__(self, index: int, signature: Signature) -> None:
        count = len(signature.outputs)
        self.index = index
        self.signature = signature
        self.inputs: dict[tuple[Any, ...], _Inputs] = {}
        self.outputs = [_Buffer(c_void_p(), memoryview(b""))] * count
        self.output_handles = (c_void_p * count)()
        self.layouts = (Layout * count)()
        self.laid_out = b""
        self.shapes: list[tuple[TensorSpec, tuple[int, ...], int]] = []

    def read_layouts(self) -> bool:
        """Keep name, shape and size of each output as `layouts` has them; gives whether they are new."""
        laid_out = bytes(self.layouts)
        changed = laid_out != self.laid_out
        if changed:
            shapes = [layout.shape for layout in self.layouts]
            sizes = [
                element_count(shape) * ELEMENT[spec.dtype][1]
                for spec, shape in zip(self.signature.outputs, shapes, strict=True)
            ]
            self.shapes = list(zip(self.signature.outputs, shapes, sizes, strict=True))
            self.laid_out = laid_out
        return changed


class LiteRTModel:
    """A `runtime.Runtime` on the C library. Calls take turns: a graph has one set of tensors."""

    def __init__(self, data: bytes, *, threads: int = 1, library: str | None = None) -> None:
        """Compile the graph; RuntimeFailure where this runtime can't, LibraryError without a library.

        One thread is the fastest for small models, and a Lambda below 1,769 MB has no more.
        """
        self._library = _library(library or find_library())
        self._data = data  # LiteRT reads weights from these bytes as long as the model lives
        self._lock = Lock()
        self._threads = threads
        self._model, self._compiled = c_void_p(), c_void_p()
        self._entries: dict[str, _Entry] = {}
        try:
            self._library.call(
                "CreateModelFromBuffer", self._library.environment, data, len(data), byref(self._model)
            )
            check_ops(self._library, self._model)
            self.signatures = read_signatures(self._library, self._model)
            self._compile()
        except BaseException:
            self.close()
            raise
        self._entries = {
            key: _Entry(index, signature) for index, (key, signature) in enumerate(self.signatures.items())
        }

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
            header = tuple([tensor[:3] for tensor in tensors])
            inputs = entry.inputs.pop(header, None) or self._prepare(entry, header, tensors)
            entry.inputs[header] = inputs  # last: the one used last is the last to be dropped
            for place, buffer in zip(inputs.places, inputs.buffers, strict=True):
                try:
                    buffer.view[:] = tensors[place].data  # type: ignore[assignment]
                except (TypeError, ValueError):
                    arrange(entry.signature.inputs, tensors)
                    raise
            self._invoke(entry, inputs)
            return [
                Tensor(spec.name, spec.dtype, shape, buffer.view[:size].tobytes())
                for (spec, shape, size), buffer in zip(entry.shapes, entry.outputs, strict=True)
            ]

    def close(self) -> None:
        """Free the graph and all its buffers."""
        with self._lock:
            for entry in self._entries.values():
                for inputs in entry.inputs.values():
                    self._free(inputs.buffers)
                self._free(entry.outputs)
                entry.inputs.clear()
                entry.outputs = []
            self._library.destroy("CompiledModel", self._compiled)
            self._library.destroy("Model", self._model)

    def __del__(self) -> None:
        if hasattr(self, "_entries"):
            self.close()

    def _compile(self) -> None:
        call, options = self._library.call, c_void_p()
        # The errors of a run are kept for `_fail` instead of being written to stderr.
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

    def _prepare(self, entry: _Entry, header: tuple[Any, ...], tensors: Sequence[Tensor]) -> _Inputs:
        ordered = arrange(entry.signature.inputs, tensors)
        for number, (_, _, shape, _) in enumerate(ordered):
            if shape:
                sizes = (c_int * len(shape))(*shape)
                status = self._library.resize(self._compiled, entry.index, number, sizes, len(sizes))
                if status:
                    raise self._failure(status)
        self._read_outputs(entry, allocate=True)
        # Behind a loop LiteRT knows shapes only when it gets there: the batch is the better guess.
        self._grow(entry, max((tensor.shape[0] for tensor in ordered if tensor.shape), default=1))
        buffers = tuple(
            self._buffer(tensor.dtype, tensor.shape, len(tensor.data) + _OVERREAD) for tensor in ordered
        )
        while len(entry.inputs) >= PREPARED:
            self._free(entry.inputs.pop(next(iter(entry.inputs))).buffers)
        names = [name for name, _, _ in header]
        places = tuple(names.index(tensor.name) for tensor in ordered)
        handles = (c_void_p * len(buffers))(*[buffer.handle.value for buffer in buffers])
        return _Inputs(places, buffers, handles)

    def _invoke(self, entry: _Entry, inputs: _Inputs) -> None:
        while True:
            status = self._library.run(
                self._compiled,
                entry.index,
                len(inputs.buffers),
                inputs.handles,
                len(entry.outputs),
                entry.output_handles,
            )
            changed = self._read_outputs(entry)
            # Where a shape depends on the data, LiteRT stops at the buffer that is too small.
            if not ((status or changed) and self._grow(entry)):
                break
        if status:
            raise self._failure(status)

    def _read_outputs(self, entry: _Entry, *, allocate: bool = False) -> bool:
        status = self._library.layouts(
            self._compiled, entry.index, len(entry.layouts), entry.layouts, allocate
        )
        if status:
            raise self._failure(status)
        return entry.read_layouts()

    def _failure(self, status: int) -> RuntimeFailure:
        reason = self._library.errors(self._compiled) or "LiteRT gives no reason"
        # A failed run leaves tensors as they were half-way, and the next would fail on them: start afresh.
        self._library.destroy("CompiledModel", self._compiled)
        self._compile()
        return RuntimeFailure(f"the run failed: {status_name(status)}: {reason}")

    def _grow(self, entry: _Entry, batch: int = 1) -> bool:
        """Make every output's buffer as large as its shape needs; gives whether one was too small."""
        grown = False
        for number, (spec, _, size) in enumerate(entry.shapes):
            guess = tuple(batch if d < 0 else d for d in spec.shape)
            needed = max(size, element_count(guess) * ELEMENT[spec.dtype][1])
            if needed > len(entry.outputs[number].view):
                width = ELEMENT[spec.dtype][1]
                larger = self._buffer(spec.dtype, (needed // width,), needed)
                self._free(entry.outputs[number : number + 1])
                entry.outputs[number] = larger
                entry.output_handles[number] = larger.handle.value
                grown = True
        return grown

    def _buffer(self, dtype: str, shape: tuple[int, ...], size: int) -> _Buffer:
        library, handle, address = self._library, c_void_p(), c_void_p()
        kind = TensorType(_CODES[dtype], Layout(len(shape), 0, shape))
        library.call(
            "CreateManagedTensorBuffer", library.environment, HOST_MEMORY, byref(kind), size, byref(handle)
        )
        library.call("GetTensorBufferHostMemory", handle, byref(address))
        length = element_count(shape) * ELEMENT[dtype][1]
        assert address.value is not None
        return _Buffer(handle, memoryview((c_char * length).from_address(address.value)).cast("B"))

    def _free(self, buffers: Sequence[_Buffer]) -> None:
        for buffer in buffers:
            self._library.destroy("TensorBuffer", buffer.handle)
