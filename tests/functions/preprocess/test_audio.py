"""WAVs read without a library are SciPy's samples: of every format, and hostile ones are refused."""

import io
import struct
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from functions.preprocess.audio import Audio
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec

RATE, SAMPLES = 8000, 50


def audio(samples: int = SAMPLES) -> Audio:
    target = TensorSpec("audio", "float32", (-1, samples))
    return Audio({"rate": RATE, "samples": samples, "max_seconds": 1}, {}, Signature((target,), ()))


def heard(*files: bytes) -> np.ndarray:
    (tensor,) = audio()([Tensor("wav", "bytes", (len(files),), list(files))])
    assert (tensor.name, tensor.dtype, tensor.shape) == ("audio", "float32", (len(files), SAMPLES))
    return np.array(array("f", tensor.data)).reshape(tensor.shape)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def form(
    kind: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, block: int | None = None
) -> bytes:
    frame = channels * bits // 8 if block is None else block
    return struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)


SCALES = {"uint8": 128, "int16": 2**15, "int32": 2**31, "float32": 1, "float64": 1}


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", SCALES)
def test_every_format_that_scipy_writes_is_read_as_scipy_reads_it(dtype: str, channels: int) -> None:
    chance = np.random.default_rng(1)
    for count in (1, 17, SAMPLES, SAMPLES + 30):
        if dtype.startswith("float"):
            values = chance.uniform(-1.5, 1.5, (count, channels)).astype(dtype)
        else:
            limits = np.iinfo(dtype)
            values = chance.integers(limits.min, limits.max, (count, channels), dtype, endpoint=True)
        file = io.BytesIO()
        wavfile.write(file, RATE, values if channels > 1 else values[:, 0])
        rate, read = wavfile.read(io.BytesIO(file.getvalue()))
        assert rate == RATE
        centred = read.reshape(count, channels).astype("float64") - (128 if dtype == "uint8" else 0)
        expected = np.zeros(SAMPLES, "float32")
        mono = (centred / SCALES[dtype]).mean(axis=1)[:SAMPLES]
        expected[: len(mono)] = mono
        np.testing.assert_allclose(heard(file.getvalue())[0], expected, rtol=2e-7, atol=1e-9)


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=20))
def test_24_bits(values: list[int]) -> None:
    data = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    found = heard(riff((b"fmt ", form(bits=24)), (b"data", data)))[0]
    assert found[: len(values)].tolist() == [value / 2**23 for value in values]


def test_real_recordings_as_the_training_side_reads_them(tmp_path: Path) -> None:
    """A tone as a recorder writes it: other chunks around, an extensible format."""
    tone = (np.sin(np.arange(300) / 5) * 20_000).astype("int16")
    extended = form(0xFFFE) + struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    file = riff((b"LIST", b"INFOodd"), (b"fmt ", extended), (b"fact", bytes(4)), (b"data", tone.tobytes()))
    np.testing.assert_array_equal(heard(file)[0], (tone[:SAMPLES] / 32768).astype("float32"))
    open_ended = bytearray(riff((b"fmt ", form()), (b"data", tone.tobytes())))
    open_ended[40:44] = b"\xff\xff\xff\xff"
    np.testing.assert_array_equal(heard(bytes(open_ended))[0], heard(file)[0])


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "a WAV .RIFF. was expected"),
        (b"ID3\x03mp3", "a WAV .RIFF. was expected"),
        (b"RIFF\0\0\0\0WAVE", "the WAV has no samples"),
        (riff((b"data", bytes(4))), "the WAV has no samples"),
        (riff((b"fmt ", form())), "the WAV has no samples"),
        (riff((b"fmt ", form()[:10]), (b"data", bytes(4))), "its format is too short"),
        (riff((b"fmt ", form(rate=44_100)), (b"data", bytes(4))), "8000 Hz were expected, 44100 Hz came"),
        (riff((b"fmt ", form(kind=6, bits=8)), (b"data", bytes(4))), "the format 6 at 8 bits; PCM"),
        (riff((b"fmt ", form(bits=12)), (b"data", bytes(4))), "the format 1 at 12 bits"),
        (riff((b"fmt ", form(channels=0)), (b"data", bytes(4))), "channels and block size do not fit"),
        (riff((b"fmt ", form(block=4)), (b"data", bytes(4))), "channels and block size do not fit"),
        (riff((b"fmt ", form()), (b"data", b"")), "empty or ends inside a sample"),
        (riff((b"fmt ", form()), (b"data", bytes(3))), "empty or ends inside a sample"),
        (riff((b"fmt ", form()), (b"data", bytes(20)))[:-2], "cut off"),
        (riff((b"fmt ", form()), (b"data", bytes(2 * RATE + 2))), "at most 1 s were expected, 1.0 s came"),
        (
            riff((b"fmt ", form(3, bits=32)), (b"data", struct.pack("<f", float("nan")))),
            "not a finite number",
        ),
        (riff((b"fmt ", form(3, bits=64)), (b"data", struct.pack("<d", 1e300))), "not a finite number"),
    ],
)
def test_refusals_say_which_file_and_what_is_wrong(file: bytes, said: str) -> None:
    fine = riff((b"fmt ", form()), (b"data", bytes(4)))
    with pytest.raises(InputError, match=f"audio 1: .*{said}"):
        heard(fine, file)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_heard_or_refused(data: bytes) -> None:
    for file in (
        data,
        b"RIFF\0\0\0\0WAVE" + data,
        riff((b"fmt ", data)),
        riff((b"fmt ", form()), (b"data", data)),
    ):
        try:
            assert np.isfinite(heard(file)).all()
        except InputError:
            continue
