"""Images as TensorFlow reads them, and described for the kind "image".

Decoding here is libpng's. Serving has its own (functions/preprocess/png.py), and the proof compares
the two.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.trained import Encoding

Value = list[int] | dict[str, str]


class GreyImages:
    """Pixels as lists, or PNGs as {"png": base64} → float32 [n, height, width, 1]; `width`, `height`."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Take the images' size."""
        self._width, self._height = parameters["width"], parameters["height"]

    def encode(self, values: Sequence[Value]) -> NDArray[Any]:
        """Pixels from 0 to 255."""
        pixels = [self._decoded(value["png"]) if isinstance(value, dict) else value for value in values]
        return np.array(pixels, "float32").reshape(-1, self._height, self._width, 1)

    def as_png(self, pixels: Sequence[int]) -> dict[str, str]:
        """The same image as a caller may send it."""
        grey = np.array(pixels, "uint8").reshape(self._height, self._width, 1)
        return {"png": base64.b64encode(tf.io.encode_png(grey).numpy()).decode()}

    def describe(self) -> Encoding:
        """The same for serving."""
        return Encoding("image", {"width": self._width, "height": self._height, "channels": 1}, {})

    @staticmethod
    def _decoded(png: str) -> NDArray[Any]:
        return np.asarray(tf.io.decode_png(base64.b64decode(png), channels=1).numpy()).ravel()
