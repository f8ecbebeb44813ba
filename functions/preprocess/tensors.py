"""Tensor: the value that passes between codec, preprocessing and the runtime, without numpy."""

from __future__ import annotations

from models.typed import NamedTuple

# Type name → (array/struct code, bytes an element). Raw data is little-endian and row-major,
# as both LiteRT and the Open Inference Protocol have it.
ELEMENT = {
    "float32": ("f", 4),
    "float64": ("d", 8),
    "int8": ("b", 1),
    "uint8": ("B", 1),
    "int16": ("h", 2),
    "int32": ("i", 4),
    "int64": ("q", 8),
    "bool": ("?", 1),
}
STRING = "string"
# A file, such as a PNG: base64 in JSON, raw in the Open Inference Protocol's binary tensors. Only a
# preprocessing kind takes it, no graph does.
BYTES = "bytes"


class InputError(ValueError):
    """The caller's value does not fit the model; the message says what was expected and what came."""


class Tensor(NamedTuple):
    """A named array: `data` is raw bytes; a list of `str` for type "string", of `bytes` for "bytes"."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str] | list[bytes]


def element_count(shape: tuple[int, ...]) -> int:
    """How many elements an array of this shape has (1 for a scalar)."""
    count = 1
    for dimension in shape:
        count *= dimension
    return count


def shape_fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a concrete shape fits one with free dimensions (-1)."""
    if len(shape) != len(expected):
        return False
    for given, wanted in zip(shape, expected, strict=True):  # noqa: SIM110  a generator costs twice as much
        if wanted not in (-1, given):
            return False
    return True
