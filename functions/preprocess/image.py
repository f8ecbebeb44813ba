"""Images: numbers from 0 to 255, or a PNG of the same size, as float32 pixels for the graph."""

from __future__ import annotations

from array import array

from functions.preprocess.png import decode
from functions.preprocess.tensors import BYTES, InputError, Tensor
from models.manifest import Signature, TensorSpec
from models.typed import Any, Mapping, Sequence

GREY, RGB = 1, 3


class Image:
    """Preprocessing kind "image": "pixels", or a file as "png" → float32 [n, height, width, channels].

    Parameters: `width`, `height`, and `channels`: 3 for RGB, 1 for grey. Pixels are 0 to 255, row by
    row; what a graph makes of that range is its own business. A coloured PNG becomes grey by ITU-R
    BT.601's luma in Pillow's fixed point. One with transparent pixels is refused, since only its
    sender knows what it should lie on.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Take the image's size; there are no files."""
        self._width: int = parameters["width"]
        self._height: int = parameters["height"]
        self._channels: int = parameters["channels"]
        if self._channels not in (GREY, RGB):
            raise ValueError(f"an image of {self._channels} channels: 1 or 3 were expected")
        (self._target,) = signature.inputs
        count = self._width * self._height * self._channels
        self.inputs = (TensorSpec("pixels", "float32", (-1, count)),)
        self.alternatives = ((TensorSpec("png", BYTES, (-1,)),),)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Give the pixels of a batch; InputError names the image that is not one."""
        (given,) = inputs
        if isinstance(given.data, list):
            data = b"".join(self._decoded(number, file) for number, file in enumerate(given.data))
        else:
            data = given.data
            values = array("f", data)
            if min(values) < 0 or max(values) > 255:
                raise InputError('"pixels" should be numbers from 0 to 255')
        shape = (given.shape[0], self._height, self._width, self._channels)
        return [Tensor(self._target.name, "float32", shape, data)]

    def _decoded(self, number: int, file: Any) -> bytes:
        try:
            rgba = decode(file, self._width, self._height)
        except InputError as error:
            raise InputError(f"image {number}: {error}") from None
        if min(rgba[3::4]) < 255:
            raise InputError(
                f"image {number} has transparent pixels; lay it on its background first, or send its pixels"
            )
        red, green, blue = rgba[0::4], rgba[1::4], rgba[2::4]
        if self._channels == RGB:
            return array("f", (v for pixel in zip(red, green, blue, strict=True) for v in pixel)).tobytes()
        return array("f", map(_luma, red, green, blue)).tobytes()


def _luma(red: int, green: int, blue: int) -> int:
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
