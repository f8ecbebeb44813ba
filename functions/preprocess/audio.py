"""WAV files as float32 samples for the graph, with the standard library alone."""

from __future__ import annotations

from array import array
from math import isfinite

from functions.preprocess.tensors import BYTES, InputError, Tensor
from models.manifest import Signature, TensorSpec
from models.typed import Any, Mapping, Sequence

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WIDTHS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
_TO_THE_END = 0xFFFFFFFF  # what a program writes that does not know the length beforehand


class Audio:
    """Preprocessing kind "audio": a WAV file as "wav" → float32 [n, samples] in -1…1.

    Parameters: `rate` (Hz; a file of another rate is refused), `samples` (what is shorter is followed
    by silence, what is longer is cut), `max_seconds`, above which a file is refused. PCM of 8, 16, 24
    or 32 bits and float of 32 or 64; the channels' mean where there are several.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Take rate and length; there are no files."""
        self._rate: int = parameters["rate"]
        self._samples: int = parameters["samples"]
        self._max_seconds: float = parameters["max_seconds"]
        (self._target,) = signature.inputs
        self.inputs = (TensorSpec("wav", BYTES, (-1,)),)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Decode a batch; InputError names the file that is not a WAV as expected."""
        heard = array("f")
        for number, file in enumerate(inputs[0].data):
            assert isinstance(file, bytes)
            try:
                heard.extend(self._decoded(file))
            except InputError as error:
                raise InputError(f"audio {number}: {error}") from None
        shape = (inputs[0].shape[0], self._samples)
        return [Tensor(self._target.name, "float32", shape, heard.tobytes())]

    def _decoded(self, file: bytes) -> array[float]:
        kind, channels, rate, bits, data = _parse(file)
        if rate != self._rate:
            raise InputError(f"{self._rate} Hz were expected, {rate} Hz came; resample it first")
        frame = channels * bits // 8
        if not data or len(data) % frame:
            raise InputError("the WAV is damaged: its data is empty or ends inside a sample")
        if len(data) // frame > self._max_seconds * rate:
            seconds = len(data) / frame / rate
            raise InputError(f"at most {self._max_seconds} s were expected, {seconds:.1f} s came; cut it")
        values = _values(data[: self._samples * frame], kind, bits)
        if channels > 1:
            values = [sum(values[at : at + channels]) / channels for at in range(0, len(values), channels)]
        try:
            heard = array("f", values)
        except OverflowError:
            heard = array("f", [float("inf")])
        if kind == _FLOAT and not all(map(isfinite, heard)):
            raise InputError("the WAV has a sample that is not a finite number")
        heard.frombytes(bytes(4 * (self._samples - len(heard))))
        return heard


def _parse(file: bytes) -> tuple[int, int, int, int, bytes]:
    """Format, channels, rate, bits a sample, and the samples."""
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise InputError("a WAV (RIFF) was expected; the bytes are none")
    at, form = 12, b""
    while at + 8 <= len(file):
        name, size = file[at : at + 4], int.from_bytes(file[at + 4 : at + 8], "little")
        at += 8
        if name == b"data" and form:
            if size == _TO_THE_END:
                size = len(file) - at
            if at + size > len(file):
                raise InputError("the WAV is cut off")
            return (*_format(form), file[at : at + size])
        if name == b"fmt ":
            form = file[at : at + size]
        at += size + size % 2
    raise InputError("the WAV has no samples: a format and then data were expected")


def _format(form: bytes) -> tuple[int, int, int, int]:
    if len(form) < 16:
        raise InputError("the WAV is damaged: its format is too short")
    kind, channels = int.from_bytes(form[:2], "little"), int.from_bytes(form[2:4], "little")
    rate, bits = int.from_bytes(form[4:8], "little"), int.from_bytes(form[14:16], "little")
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = int.from_bytes(form[24:26], "little")
    if bits not in _WIDTHS.get(kind, ()):
        raise InputError(
            f"the WAV has the format {kind} at {bits} bits; "
            "PCM (8, 16, 24 or 32 bits) or float (32 or 64) was expected"
        )
    if not channels or int.from_bytes(form[12:14], "little") != channels * bits // 8:
        raise InputError("the WAV is damaged: its channels and block size do not fit")
    return kind, channels, rate, bits


def _values(data: bytes, kind: int, bits: int) -> Sequence[float]:
    """Samples in -1…1; a product with a power of two is exact."""
    if kind == _FLOAT:
        return array("f" if bits == 32 else "d", data)
    if bits == 8:
        return [(value - 128) / 128 for value in data]
    if bits == 24:  # a zero byte below makes it 32 bits
        wide = bytearray(len(data) // 3 * 4)
        wide[1::4], wide[2::4], wide[3::4] = data[0::3], data[1::3], data[2::3]
        data = bytes(wide)
    scale = 2.0**-15 if bits == 16 else 2.0**-31
    return [value * scale for value in array("h" if bits == 16 else "i", data)]
