"""PNG (RFC 2083) → RGBA samples, with the standard library alone and in bounded memory.

All colour types, bit depths, filters and Adam7 interlacing; 16-bit samples keep their high byte, as
libpng's strip_16 does. Whoever calls says which size is wanted, and a file of another size is
refused by its header, before anything is decompressed: what a file can make us allocate is known.
Checksums have to hold, and data behind the last row is refused.
"""

from __future__ import annotations

from functions.preprocess.tensors import InputError
from models.typed import Callable, Iterable, Iterator

Colouring = Callable[[list[int]], Iterable[tuple[int, ...]]]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Colour type → (samples a pixel, bit depths it comes in).
_COLOURS = {
    0: (1, (1, 2, 4, 8, 16)),
    2: (3, (8, 16)),
    3: (1, (1, 2, 4, 8)),
    4: (2, (8, 16)),
    6: (4, (8, 16)),
}
_PALETTE, _GREY, _GREY_ALPHA, _RGB = 3, 0, 4, 2

# Adam7: column and row of each pass's first pixel, and the steps to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def decode(data: bytes, width: int, height: int) -> bytes:
    """RGBA of `width` by `height` pixels, row by row, a byte a sample; InputError says what is wrong."""
    header, palette, transparent = b"", b"", b""
    packed: list[bytes] = []
    for kind, content in _chunks(data):
        if not header:
            if kind != b"IHDR" or len(content) != 13:
                raise InputError("a PNG's first chunk should be its header")
            header = content
            _check_header(header, width, height)
        elif kind == b"PLTE":
            palette = content
        elif kind == b"tRNS":
            transparent = content
        elif kind == b"IDAT":
            packed.append(content)
        elif not kind[0] & 0x20:  # upper case: not to be ignored
            raise InputError(f"the PNG has the critical chunk {kind.decode('latin-1')!r}, which is unknown")
    depth, colour, interlaced = header[8], header[9], header[12]
    channels = _COLOURS[colour][0]
    passes = [p for p in _PASSES if p[0] < width and p[1] < height] if interlaced else [(0, 0, 1, 1)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    lengths = [(-(-columns * channels * depth // 8), rows) for columns, rows in sizes]
    raw = _inflate(b"".join(packed), sum((length + 1) * rows for length, rows in lengths))
    pixels = bytearray(4 * width * height)
    to_rgba = _colouring(colour, depth, palette, transparent)
    at = 0
    for (x, y, dx, dy), (columns, _), (length, rows) in zip(passes, sizes, lengths, strict=True):
        line = bytes(length)
        for row in range(rows):
            line = _unfilter(raw[at], raw[at + 1 : at + 1 + length], line, max(1, channels * depth // 8))
            at += 1 + length
            start = 4 * ((y + row * dy) * width + x)
            for column, rgba in enumerate(to_rgba(_samples(line, depth, columns * channels))):
                place = start + 4 * column * dx
                pixels[place : place + 4] = rgba
    return bytes(pixels)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each chunk up to IEND."""
    from zlib import crc32

    if not data.startswith(_SIGNATURE):
        raise InputError("a PNG was expected; the bytes are none")
    at = len(_SIGNATURE)
    while True:
        length, end = int.from_bytes(data[at : at + 4], "big"), at + 8
        if end + length + 4 > len(data):
            raise InputError("the PNG is cut off")
        kind, content = data[at + 4 : end], data[end : end + length]
        if crc32(data[at + 4 : end + length]).to_bytes(4, "big") != data[end + length : end + length + 4]:
            raise InputError(f"the PNG is damaged: a checksum of {kind.decode('latin-1')!r} does not hold")
        if kind == b"IEND":
            return
        yield kind, content
        at = end + length + 4


def _check_header(header: bytes, width: int, height: int) -> None:
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, compression, filtering, interlacing = header[8:]
    if colour not in _COLOURS or depth not in _COLOURS[colour][1] or compression or filtering:
        raise InputError("the PNG's header names a format that PNG does not have")
    if interlacing > 1:
        raise InputError("the PNG's header names an interlacing that PNG does not have")
    if size != (width, height):
        raise InputError(
            f"a PNG of {width}×{height} pixels was expected, one of {size[0]}×{size[1]} came; resize it first"
        )


def _inflate(packed: bytes, size: int) -> bytes:
    """Decompress exactly `size` bytes, and never more."""
    from zlib import decompressobj, error

    stream = decompressobj()
    try:
        raw = stream.decompress(packed, size)
        more = stream.decompress(stream.unconsumed_tail, 1)
    except error:
        raise InputError("the PNG is damaged: its data can't be decompressed") from None
    if len(raw) != size or more or not stream.eof:
        raise InputError("the PNG is damaged: it has more or fewer pixels than its header says")
    return raw


def _unfilter(kind: int, line: bytes, above: bytes, step: int) -> bytes:
    """Undo a row's filter; `step` is the distance to the same sample of the pixel before."""
    if kind == 0:
        return line
    if kind == 2:
        return bytes((value + up) & 255 for value, up in zip(line, above, strict=True))
    if kind not in (1, 3, 4):
        raise InputError(f"the PNG is damaged: it has a row with the filter {kind}")
    done = bytearray(line)
    for at in range(len(done)):
        left = done[at - step] if at >= step else 0
        up = above[at]
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            corner = above[at - step] if at >= step else 0
            guess = _paeth(left, up, corner)
        done[at] = (done[at] + guess) & 255
    return bytes(done)


def _paeth(left: int, up: int, corner: int) -> int:
    to_left, to_up = abs(up - corner), abs(left - corner)
    to_corner = abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def _samples(line: bytes, depth: int, count: int) -> list[int]:
    """A row's samples as they stand in the file."""
    if depth == 8:
        return list(line)
    if depth == 16:
        return [line[at] << 8 | line[at + 1] for at in range(0, 2 * count, 2)]
    each, mask = 8 // depth, (1 << depth) - 1
    return [line[n // each] >> (8 - depth * (n % each + 1)) & mask for n in range(count)]


def _colouring(colour: int, depth: int, palette: bytes, transparent: bytes) -> Colouring:
    """What turns a row of samples into its pixels' RGBA."""
    if colour == _PALETTE:
        return _from_palette(depth, palette, transparent)
    channels, most = _COLOURS[colour][0], (1 << depth) - 1
    hole: tuple[int, ...] = ()
    if transparent:
        if colour not in (_GREY, _RGB) or len(transparent) != 2 * channels:
            raise InputError("the PNG is damaged: its transparency does not fit")
        hole = tuple(int.from_bytes(transparent[2 * n : 2 * n + 2], "big") for n in range(channels))

    def rgba(row: list[int]) -> Iterator[tuple[int, ...]]:
        for at in range(0, len(row), channels):
            sample = tuple(row[at : at + channels])
            shown = tuple([value >> 8 if depth == 16 else value * 255 // most for value in sample])
            if colour in (_GREY, _RGB):
                shown += (0 if sample == hole else 255,)
            yield shown if len(shown) == 4 else (shown[0], shown[0], shown[0], shown[1])

    return rgba


def _from_palette(depth: int, palette: bytes, transparent: bytes) -> Colouring:
    count = len(palette) // 3
    if not count or len(palette) % 3 or count > 1 << depth or len(transparent) > count:
        raise InputError("the PNG is damaged: its palette does not fit")
    alphas = transparent + b"\xff" * (count - len(transparent))
    table = [(*palette[3 * n : 3 * n + 3], alphas[n]) for n in range(count)]

    def rgba(row: list[int]) -> list[tuple[int, ...]]:
        if max(row) >= count:
            raise InputError("the PNG is damaged: a pixel has a colour that its palette has not")
        return [table[sample] for sample in row]

    return rgba
