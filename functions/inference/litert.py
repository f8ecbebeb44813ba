"""LiteRT without numpy: a model, loaded and run through the C library.

It is given bytes that somebody has verified: LiteRT checks a graph's structure, but runs altered
weights without a word. Inputs are copied into buffers that stay prepared for the shapes seen last;
a call of a shape seen before is one C call, whatever the number of tensors, or two if only the run tells
the outputs' shapes (`signature.py`).
"""

from __future__ import annotations

from _thread import allocate_lock
from ctypes import CFUNCTYPE, byref, c_void_p, create_string_buffer

from functions.inference.graph import check_ops, read_signatures
from functions.inference.library import CPU, Library, find_library
from functions.inference.runtime import RuntimeFailure
from functions.inference.signature import ReadySignature, Short
from functions.preprocess.tensors import Tensor
from models.typed import Any, Sequence

_CPU_OPTIONS, _RUNTIME_OPTIONS = b"xnnpack", b"runtime_options_string"
_keep = CFUNCTYPE(None, c_void_p)(lambda payload: None)

# What Tensor(…) does, without the constructor in Python between.
_new = tuple.__new__
_ALL = slice(None)
# The turn of a graph that no call is known to be short of.
_NO_SHORT: tuple[Any, ...] = (None,) * 11

_libraries: dict[str, Library] = {}
_loading = allocate_lock()


def _library(path: str) -> Library:
    with _loading:
        if path not in _libraries:
            _libraries[path] = Library(path)
        return _libraries[path]


class LiteRTModel:
    """A `runtime.Runtime` on the C library. Calls take turns: a graph has one set of tensors."""

    def __init__(self, data: bytes, *, threads: int = 1, library: str | None = None) -> None:
        """Compile the graph; RuntimeFailure where this runtime can't, LibraryError without a library.

        One thread is the fastest for small models, and a Lambda below 1,769 MB has no more.
        """
        self._library = _library(library or find_library())
        self._data = data  # LiteRT reads weights from these bytes as long as the model lives
        self._threads = threads
        self._model, self._compiled = c_void_p(), c_void_p()
        self._ready: dict[str, ReadySignature] = {}
        self._waiting: list[Any] = []
        try:
            self._library.call(
                "CreateModelFromBuffer", self._library.environment, data, len(data), byref(self._model)
            )
            settled = check_ops(self._library, self._model)
            self.signatures = read_signatures(self._library, self._model)
            self._compile()
            for index, (key, signature) in enumerate(self.signatures.items()):
                self._ready[key] = ReadySignature(self._library, self._compiled, index, signature, settled)
        except BaseException:
            self._free()
            raise
        # Whoever takes it out has the graph alone. It is what a short call needs, so that a call takes the
        # turn and all it needs in one step; a lock would cost a tenth of a small model's call.
        self._turn = [_NO_SHORT]

    def run(self, key: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run signature `key`; see `runtime.Runtime.run`."""
        try:
            turn = self._turn.pop()
        except IndexError:
            turn = self._wait()
        try:
            short, name, dtype, shape, view, function, arguments, out_name, out_dtype, out_shape, read = turn
            if key == short:
                try:
                    ((came, kind, dimensions, data),) = tensors
                    if dimensions == shape and came == name and kind == dtype:
                        view[_ALL] = data
                        if not function(*arguments):
                            return (_new(Tensor, (out_name, out_dtype, out_shape, read())),)
                        self._library.errors(self._compiled)  # they come again
                except (TypeError, ValueError):
                    pass  # what does not fit is said below
            turn = _NO_SHORT
            try:
                ready = self._ready[key]
            except KeyError:
                raise self._unknown(key) from None
            answer = ready.run(tensors)
            known = ready.short()
            if known:
                turn = (key, *known)
            return answer
        finally:
            self._turn.append(turn)
            if self._waiting:
                self._let_in()

    def close(self) -> None:
        """Free the graph and all its buffers."""
        try:
            self._turn.pop()
        except IndexError:
            self._wait()
        try:
            self._free()
        finally:
            self._turn.append(_NO_SHORT)
            self._let_in()

    def __del__(self) -> None:
        if hasattr(self, "_ready"):  # else there was no library; and nobody is left to wait for
            self._free()

    def _wait(self) -> Short:
        """Wait for the turn, as `threading.Condition` waits."""
        gate = allocate_lock()
        gate.acquire()
        while True:
            self._waiting.append(gate)
            try:
                return self._turn.pop()  # given back before the gate was seen
            except IndexError:
                gate.acquire()
            finally:
                try:  # noqa: SIM105  contextlib would cost a cold start
                    self._waiting.remove(gate)
                except ValueError:
                    pass  # it was let in

    def _let_in(self) -> None:
        try:
            gate = self._waiting.pop(0)
        except IndexError:
            return
        gate.release()

    def _free(self) -> None:
        self._library.destroy("CompiledModel", self._compiled)
        for ready in self._ready.values():
            ready.free()
        self._ready.clear()
        self._library.destroy("Model", self._model)

    def _unknown(self, key: str) -> RuntimeFailure:
        if not self._compiled:
            return RuntimeFailure("the model is closed")
        return RuntimeFailure(f"the graph has no signature {key!r} (it has: {', '.join(self._ready)})")

    def _compile(self) -> None:
        call, options = self._library.call, c_void_p()
        # The errors of a run are kept to be asked for instead of being written to stderr.
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
