"""LiteRT's C library: finding it, being sure that it is the right build, and calling it through ctypes.

The C API is young: between releases functions keep their names and change their arguments, so only
the build that was tried is accepted (`BUILDS`). It needs no numpy and no part of the Python package.
"""

from __future__ import annotations

import os
import sys
from ctypes import (
    CDLL,
    PyDLL,
    Structure,
    byref,
    c_bool,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint,
    c_uint32,
    c_void_p,
    cast,
    string_at,
)

from functions.inference.runtime import RuntimeFailure
from models.typed import Any, Callable

VERSION = "2.3.0"
LIBRARY_VARIABLE = "PAYPHONE_LITERT_LIBRARY"
LAYER_LIBRARY = "/opt/lib/libLiteRt.so"
PACKAGE_LIBRARY = "ai_edge_litert/libLiteRt.so"

# Where these functions lie in the library of ai-edge-litert 2.3.0, per CPU. Their distances are a
# fingerprint that survives stripping and costs no read of the 8 MB file. The wheels for different
# Pythons hold the same library.
LANDMARKS = ("CreateEnvironment", "CreateModelFromBuffer", "CreateCompiledModel", "RunCompiledModel")
BUILDS = {
    "x86_64": (0x167CD0, 0x190060, 0xF7C80, 0xF89E0),
    "aarch64": (0x1717D0, 0x195A74, 0x10B4A4, 0x10C200),
}

# From here on, names and numbers are those of the headers in litert/c.
_P, _N = c_void_p, c_size_t
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "CreateEnvironment": (c_int, _P, _P),
    "CreateOptions": (_P,),
    "DestroyOptions": (_P,),
    "SetOptionsHardwareAccelerators": (_P, c_int),
    "CreateOpaqueOptions": (c_char_p, _P, _P, _P),
    "AddOpaqueOptions": (_P, _P),
    "CreateModelFromBuffer": (_P, _P, _N, _P),
    "DestroyModel": (_P,),
    "CreateCompiledModel": (_P, _P, _P, _P),
    "DestroyCompiledModel": (_P,),
    "CompiledModelGetErrorMessages": (_P, _P),
    "CompiledModelClearErrors": (_P,),
    "GetNumModelSignatures": (_P, _P),
    "GetModelSignature": (_P, _N, _P),
    "GetSignatureKey": (_P, _P),
    "GetNumSignatureInputs": (_P, _P),
    "GetNumSignatureOutputs": (_P, _P),
    "GetSignatureInputName": (_P, _N, _P),
    "GetSignatureOutputName": (_P, _N, _P),
    "GetSignatureInputTensorByIndex": (_P, _N, _P),
    "GetSignatureOutputTensorByIndex": (_P, _N, _P),
    "GetNumModelSubgraphs": (_P, _P),
    "GetModelSubgraph": (_P, _N, _P),
    "GetNumSubgraphOps": (_P, _P),
    "GetSubgraphOp": (_P, _N, _P),
    "GetOpCode": (_P, _P),
    "GetNumOpInputs": (_P, _P),
    "GetOpInput": (_P, _N, _P),
    "GetTensorWeights": (_P, _P),
    "GetWeightsBytes": (_P, _P, _P),
    "GetRankedTensorType": (_P, _P),
    "GetCompiledModelOutputTensorLayouts": (_P, _N, _N, _P, c_bool),
    "CreateTensorBufferFromHostMemory": (_P, _P, _N, _P, _P),
    "DestroyTensorBuffer": (_P,),
    "RunCompiledModel": (_P, _N, _N, _P, _N, _P),
}
_STATUS = {
    1: "ErrorInvalidArgument",
    2: "ErrorMemoryAllocationFailure",
    3: "ErrorRuntimeFailure",
    4: "ErrorMissingInputTensor",
    5: "ErrorUnsupported",
    6: "ErrorNotFound",
    7: "ErrorTimeoutExpired",
    8: "ErrorWrongVersion",
    9: "ErrorUnknown",
    10: "ErrorAlreadyExists",
    100: "Cancelled",
    500: "ErrorFileIO",
    501: "ErrorInvalidFlatbuffer",
    502: "ErrorDynamicLoading",
    503: "ErrorSerialization",
    504: "ErrorCompilation",
    1000: "ErrorIndexOOB",
    1001: "ErrorInvalidIrType",
    1002: "ErrorInvalidGraphInvariant",
    1003: "ErrorGraphModification",
}
# LiteRtElementType → our names; the types left out (string, complex, half) no signature of ours uses.
DTYPES = {
    1: "float32",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    11: "float64",
}
# Of LiteRtHwAccelerators, LiteRtEnvOptionTag, LiteRtAnyType and LiteRtLogSeverity.
CPU = 1
_ACCELERATORS, _LOG_SEVERITY, _INT, _SILENT = 24, 25, 2, 4


class Layout(Structure):
    """A shape: LiteRtLayout."""

    _fields_ = (
        ("rank", c_uint, 7),
        ("has_strides", c_uint, 1),
        ("dims", c_int32 * 8),
        ("strides", c_uint32 * 8),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, -1 for a free one."""
        return tuple(self.dims[: self.rank])


class TensorType(Structure):
    """An element type and a shape: LiteRtRankedTensorType."""

    _fields_ = (("dtype", c_int), ("layout", Layout))


class _EnvironmentOption(Structure):
    _fields_ = (("tag", c_int), ("type", c_int64), ("value", c_int64))


class LibraryError(Exception):
    """There is no LiteRT library, or not the one build that this binding was written for."""


def find_library() -> str:
    """Path of the library: $PAYPHONE_LITERT_LIBRARY, the layer's, or the one pip installed.

    It looks at paths only: importing ai_edge_litert would load all of it, and numpy.
    """
    chosen = os.environ.get(LIBRARY_VARIABLE)
    if chosen:
        return chosen
    for path in (LAYER_LIBRARY, *(f"{folder or '.'}/{PACKAGE_LIBRARY}" for folder in sys.path)):
        if os.access(path, os.R_OK):
            return path
    raise LibraryError(
        f"LiteRT's library is neither at {LAYER_LIBRARY} nor installed: "
        f"pip install ai-edge-litert=={VERSION}, or set {LIBRARY_VARIABLE}"
    )


class Library:
    """The loaded library and its one environment, which lives as long as the process."""

    def __init__(self, path: str) -> None:
        """Load and check; LibraryError if it is not the pinned build."""
        try:
            self._handle = CDLL(path)
            self._keeping = PyDLL(path, handle=self._handle._handle)
            self._functions = {name: getattr(self._handle, f"LiteRt{name}") for name in _FUNCTIONS}
        except (OSError, AttributeError) as error:
            raise LibraryError(f"{path} can't be loaded as LiteRT {VERSION}: {error}") from error
        addresses = [cast(self._functions[name], c_void_p).value or 0 for name in LANDMARKS]
        build = BUILDS.get(os.uname().machine)
        if not build or [a - addresses[0] for a in addresses] != [b - build[0] for b in build]:
            raise LibraryError(f"{path} is not the library of ai-edge-litert {VERSION}: install that version")
        for name, argtypes in _FUNCTIONS.items():
            self._functions[name].argtypes = argtypes
            self._functions[name].restype = None if name.startswith("Destroy") else c_int
        self._release = CDLL(None).free
        self._release.argtypes = (c_void_p,)
        self.environment = c_void_p()
        options = (_EnvironmentOption * 2)()
        options[0] = _EnvironmentOption(_LOG_SEVERITY, _INT, _SILENT)
        options[1] = _EnvironmentOption(_ACCELERATORS, _INT, CPU)
        self.call("CreateEnvironment", len(options), options, byref(self.environment))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that gives a status; RuntimeFailure names it."""
        status = self._functions[name](*arguments)
        if status:
            raise RuntimeFailure(f"LiteRT{name} failed: {status_name(status)}")

    def prepared(
        self, name: str, *arguments: Any, keeps_gil: bool = False
    ) -> tuple[Callable[..., int], tuple[Any, ...]]:
        """A function that gives its status, and its arguments in the form that costs ctypes least.

        `function(*arguments)` takes a sixth of what `call` does. Handles are those of now: none may be
        destroyed before the last such call. A function that `keeps_gil` must be short: other threads wait,
        but none of them can take the GIL away.
        """
        function = (self._keeping if keeps_gil else self._handle)[
            f"LiteRt{name}"
        ]  # by item: an object of its own, without argtypes
        function.restype = c_int
        values = (value.value if isinstance(value, c_void_p) else value for value in arguments)
        return function, tuple(
            kind.from_param(value) for kind, value in zip(_FUNCTIONS[name], values, strict=True)
        )

    def destroy(self, kind: str, handle: c_void_p) -> None:
        """Free a handle and forget it."""
        if handle:
            self._functions[f"Destroy{kind}"](handle)
            handle.value = None

    def text(self, name: str, *arguments: Any) -> str:
        """The string that a getter gives."""
        value = c_char_p()
        self.call(name, *arguments, byref(value))
        return (value.value or b"").decode()

    def errors(self, compiled: c_void_p) -> str:
        """What a compiled model has reported since it was last asked, in one line."""
        value = c_void_p()
        self.call("CompiledModelGetErrorMessages", compiled, byref(value))
        try:
            return "; ".join(string_at(value).decode(errors="replace").splitlines()) if value else ""
        finally:
            self._release(value)
            self.call("CompiledModelClearErrors", compiled)

    def number(self, name: str, handle: c_void_p) -> int:
        """The count that a getter gives."""
        value = c_size_t()
        self.call(name, handle, byref(value))
        return value.value


def status_name(status: int) -> str:
    """LiteRT's own name of a status code."""
    return f"kLiteRtStatus{_STATUS[status]}" if status in _STATUS else f"status {status}"
