"""WAV files as SciPy reads them, and described for the kind "audio".

Serving has its own reader (functions/preprocess/audio.py), and the proof compares the two.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from models.trained import Encoding


class Wav:
    """16-bit mono WAVs as {"wav": base64} → float32 [n, samples].

    Parameters: `rate`, `samples`, `max_seconds`.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Take rate and length."""
        self._parameters = parameters

    @staticmethod
    def value(file: bytes) -> dict[str, str]:
        """A file as a caller sends it."""
        return {"wav": base64.b64encode(file).decode()}

    def encode(self, values: Sequence[Mapping[str, str]]) -> NDArray[Any]:
        """Samples in -1…1, with silence behind; ValueError for a rate or type that is not expected."""
        heard = np.zeros((len(values), self._parameters["samples"]), "float32")
        for row, value in zip(heard, values, strict=True):
            rate, samples = wavfile.read(io.BytesIO(base64.b64decode(value["wav"])))
            if (rate, samples.dtype, samples.ndim) != (self._parameters["rate"], np.int16, 1):
                raise ValueError(f"a WAV of {rate} Hz, {samples.dtype}, {samples.ndim} channels")
            kept = samples[: len(row)]
            row[: len(kept)] = kept / 32768
        return heard

    def describe(self) -> Encoding:
        """The same for serving."""
        return Encoding("audio", dict(self._parameters), {})
