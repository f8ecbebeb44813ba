"""Raw bytes ⇄ tensors, as the binary extension of the Open Inference Protocol has them.

Numbers are little-endian and row-major. A string, or a file, is 4 bytes of length and as many bytes.
"""

from __future__ import annotations

from functions.inference.codec import check_tensor
from functions.preprocess.tensors import BYTES, ELEMENT, STRING, InputError, Tensor, element_count
from models.manifest import TensorSpec


def tensor_from_raw(spec: TensorSpec, dtype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    """Make a tensor of a caller's bytes; InputError where they are not what its type and shape need."""
    check_tensor(spec, dtype, shape)
    count = element_count(shape)
    if dtype == BYTES:
        return Tensor(spec.name, dtype, shape, _split(data, count, spec.name))
    if dtype == STRING:
        return Tensor(spec.name, dtype, shape, _texts(_split(data, count, spec.name), spec.name))
    expected = count * ELEMENT[dtype][1]
    if len(data) != expected:
        raise InputError(f'input "{spec.name}" has {len(data)} bytes; its shape and type need {expected}')
    if dtype == "bool" and data.strip(b"\x00\x01"):
        raise InputError(f'input "{spec.name}" has a bool that is neither 0 nor 1')
    return Tensor(spec.name, dtype, shape, data)


def raw_of(tensor: Tensor) -> bytes:
    """The elements as they are sent."""
    if tensor.dtype != STRING:
        return bytes(tensor.data)  # type: ignore[arg-type]
    parts = (str(item).encode() for item in tensor.data)
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _texts(parts: list[bytes], name: str) -> list[str]:
    try:
        return [part.decode() for part in parts]
    except UnicodeDecodeError:
        raise InputError(f'input "{name}" has a string that is not UTF-8') from None


def _split(data: bytes, count: int, name: str) -> list[bytes]:
    parts, at = [], 0
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + size > len(data):
            raise InputError(
                f'input "{name}" ends inside an element: 4 bytes of length + that many each were expected'
            )
        parts.append(data[at : at + size])
        at += size
    if at != len(data):
        raise InputError(f'input "{name}" has {len(data) - at} bytes more than its {count} elements')
    return parts
