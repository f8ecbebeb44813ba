"""PNGs read without a library are libpng's pixels: of every kind there is, and hostile ones are refused."""

import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.preprocess.image import Image
from functions.preprocess.png import decode
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KINDS = [
    (colour, depth)
    for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items()
    for depth in depths
]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """A PNG of raw, filtered rows."""
    body = header(width, height, depth, colour, interlace) + chunk(b"IDAT", zlib.compress(data))
    return SIGNATURE + body + chunk(b"IEND", b"")


def scrambled(
    chance: random.Random, width: int, height: int, colour: int, depth: int, interlace: int
) -> bytes:
    """Random bytes under random filters: whatever they say is an image."""
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    rows = b""
    for x, y, dx, dy in passes:
        columns, lines = max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))
        if columns and lines:
            size = -(-columns * CHANNELS[colour] * depth // 8)
            rows += b"".join(bytes([chance.randrange(5)]) + chance.randbytes(size) for _ in range(lines))
    body = header(width, height, depth, colour, interlace)
    if colour == 3:
        body += chunk(b"PLTE", chance.randbytes(3 << depth))
        if chance.random() < 0.5:
            body += chunk(b"tRNS", chance.randbytes(chance.randrange(1, (1 << depth) + 1)))
    elif colour in (0, 2) and chance.random() < 0.3:
        hole = [chance.randrange(1 << depth) for _ in range(CHANNELS[colour])]
        body += chunk(b"tRNS", struct.pack(f">{len(hole)}H", *hole))
    packed = zlib.compress(rows)
    cut = chance.randrange(len(packed))
    body += chunk(b"tEXt", b"Title\0x") + chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:])
    return SIGNATURE + body + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, int, int, bytes]]:
    """PNGs of every kind, and damaged ones, with libpng's answer: (file, width, height, RGBA or nothing)."""
    folder, chance = tmp_path_factory.mktemp("png"), random.Random(3)
    files = []
    for colour, depth in KINDS:
        for interlace in (0, 1):
            for _ in range(6):
                width, height = chance.randrange(1, 14), chance.randrange(1, 14)
                files.append((scrambled(chance, width, height, colour, depth, interlace), width, height))
    for _ in range(300):
        file, width, height = chance.choice(files[:100])
        damaged = bytearray(file)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        files.append(
            (bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])]), width, height)
        )
    for number, (file, *_) in enumerate(files):
        (folder / f"{number}.png").write_bytes(file)
    script = Path(__file__).with_name("decode_with_tensorflow.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [
        (*item, opaque(item[0], (folder / f"{number}.rgba").read_bytes()))
        for number, item in enumerate(files)
    ]


def opaque(file: bytes, rgba: bytes) -> bytes:
    """Mend TensorFlow's alpha where there is none and samples are below 8 bits: it fills in 1, 3 or 15."""
    if len(file) > 25 and file[24] < 8 and b"tRNS" not in file:
        mended = bytearray(rgba)
        mended[3::4] = b"\xff" * (len(rgba) // 4)
        return bytes(mended)
    return rgba


def test_every_kind_of_png_is_libpng_s(decoded: list[tuple[bytes, int, int, bytes]]) -> None:
    good = decoded[: len(KINDS) * 12]
    assert sum(bool(expected) for *_, expected in good) == len(good)
    for file, width, height, expected in good:
        assert decode(file, width, height) == expected, file[16:30]


def test_damaged_pngs_are_refused_or_libpng_s(decoded: list[tuple[bytes, int, int, bytes]]) -> None:
    refused = 0
    for file, width, height, expected in decoded[len(KINDS) * 12 :]:
        try:
            found = decode(file, width, height)
        except InputError:
            refused += 1
        else:
            assert found == expected
    assert refused > 250


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_decode_or_be_refused(data: bytes) -> None:
    for file in (data, SIGNATURE + data, SIGNATURE + header(3, 3) + data, png(3, 3, data)):
        try:
            assert len(decode(file, 3, 3)) == 36
        except InputError:
            continue


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "a PNG was expected"),
        (b"GIF89a", "a PNG was expected"),
        (SIGNATURE, "cut off"),
        (png(3, 3, bytes(12))[:-4], "cut off"),
        (SIGNATURE + b"\xff\xff\xff\xffIHDR", "cut off"),
        (png(3, 4, bytes(16)), "3×3 pixels was expected, one of 3×4 came"),
        (png(2**31 - 1, 2**31 - 1, b""), "one of 2147483647×2147483647 came"),
        (png(3, 3, bytes(12), depth=3), "a format that PNG does not have"),
        (png(3, 3, bytes(12), colour=5), "a format that PNG does not have"),
        (png(3, 3, bytes(12), interlace=2), "an interlacing that PNG does not have"),
        (png(3, 3, bytes(11)), "more or fewer pixels"),
        (png(3, 3, bytes(13)), "more or fewer pixels"),
        (png(3, 3, bytes(12), colour=3), "its palette does not fit"),
        (png(3, 3, b"\5" + bytes(11)), "a row with the filter 5"),
        (
            SIGNATURE + header(3, 3) + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""),
            "can't be decompressed",
        ),
        (SIGNATURE + header(3, 3) + chunk(b"IEND", b""), "more or fewer pixels"),
        (SIGNATURE + chunk(b"IDAT", b"") + header(3, 3), "first chunk should be its header"),
        (SIGNATURE + header(3, 3) + chunk(b"NEWS", b""), "critical chunk 'NEWS'"),
        (png(3, 3, bytes(12))[:29] + b"\0\0\0\0" + png(3, 3, bytes(12))[33:], "checksum of 'IHDR'"),
    ],
)
def test_refusals_say_what_is_wrong(file: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        decode(file, 3, 3)


def test_a_bomb_allocates_no_more_than_its_pixels() -> None:
    bomb = png(3, 3, bytes(200_000_000))
    assert len(bomb) < 250_000
    tracemalloc.start()
    with pytest.raises(InputError, match="more or fewer pixels"):
        decode(bomb, 3, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(bomb)


def image(channels: int = 1) -> Image:
    target = TensorSpec("values", "float32", (-1, 2, 3, channels))
    return Image({"width": 3, "height": 2, "channels": channels}, {}, Signature((target,), ()))


def floats(tensor: Tensor) -> list[float]:
    return list(array("f", tensor.data))


def test_pixels_and_png_are_the_same_image() -> None:
    pixels = [0, 1, 2, 100, 200, 255]
    file = png(3, 2, bytes([0, 0, 1, 2, 0, 100, 200, 255]))
    (from_list,) = image()([Tensor("pixels", "float32", (1, 6), array("f", pixels).tobytes())])
    (from_file,) = image()([Tensor("png", "bytes", (1,), [file])])
    assert from_list == from_file == Tensor("values", "float32", (1, 2, 3, 1), array("f", pixels).tobytes())


@given(st.binary(min_size=18, max_size=18))
def test_colour_becomes_grey_by_luma(rgb: bytes) -> None:
    """To the nearest of 0.299 R + 0.587 G + 0.114 B; equal parts stay what they are."""
    file = png(3, 2, b"\0" + rgb[:9] + b"\0" + rgb[9:], colour=2)
    (grey,) = image()([Tensor("png", "bytes", (1,), [file])])
    (colours,) = image(3)([Tensor("png", "bytes", (1,), [file])])
    assert floats(colours) == list(rgb)
    for at, value in enumerate(floats(grey)):
        red, green, blue = rgb[3 * at : 3 * at + 3]
        assert abs(value - (0.299 * red + 0.587 * green + 0.114 * blue)) <= 0.51
        assert red != green or green != blue or value == red


def test_transparent_pixels_and_values_out_of_range_are_refused() -> None:
    clear = png(3, 2, b"\0" + bytes([9, 255] * 3) + b"\0" + bytes([9, 255, 9, 254, 9, 255]), colour=4)
    with pytest.raises(InputError, match="image 1 has transparent pixels"):
        image()([Tensor("png", "bytes", (2,), [png(3, 2, bytes(8)), clear])])
    for wrong in (-1.0, 256.0):
        values = array("f", [0, 0, 0, 0, 0, wrong])
        with pytest.raises(InputError, match="from 0 to 255"):
            image()([Tensor("pixels", "float32", (1, 6), values.tobytes())])
    with pytest.raises(ValueError, match="4 channels"):
        image(4)
