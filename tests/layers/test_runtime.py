import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from layers import runtime, wheels

TEN_MEGABYTES = 10 * 1024 * 1024
# The first four bytes, and the machine (bytes 18 and 19), of an ELF file.
ELF, MACHINES = b"\x7fELF", {"x86_64": 62, "arm64": 183}


def test_the_layer_holds_the_library_alone_and_is_small(runtime_layer):
    assert list(runtime_layer.files) == ["lib/libLiteRt.LICENSE", "lib/libLiteRt.so"]
    assert runtime_layer.unzipped <= TEN_MEGABYTES


def test_the_library_answers_with_nothing_else_of_its_wheel(runtime_layer, unpack):
    library = unpack(runtime_layer) / "lib" / "libLiteRt.so"
    script = (
        "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); made = ctypes.c_void_p();"
        "print(library.LiteRtCreateEnvironment(0, None, ctypes.byref(made)), bool(made))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, library], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "True"]


def test_it_is_the_library_that_the_tests_run_on(runtime_layer, unpack):
    installed = Path(find_spec("ai_edge_litert").origin).parent / "libLiteRt.so"
    assert (unpack(runtime_layer) / "lib" / "libLiteRt.so").read_bytes() == installed.read_bytes()


@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
def test_each_cpu_gets_its_own_library(machine, tmp_path, unpack):
    layer = runtime.build(tmp_path, machine)
    assert layer.unzipped <= TEN_MEGABYTES
    data = (unpack(layer) / "lib" / "libLiteRt.so").read_bytes()
    assert (data[:4], int.from_bytes(data[18:20], "little")) == (ELF, MACHINES[machine])


def test_building_it_again_gives_the_same_bytes(runtime_layer, tmp_path):
    assert runtime.build(tmp_path, "x86_64").path.read_bytes() == runtime_layer.path.read_bytes()


def test_a_cpu_that_lambda_lacks_is_refused(tmp_path):
    with pytest.raises(wheels.WheelError, match="x86_64 or arm64"):
        runtime.build(tmp_path, "riscv")


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path):
    entry = wheels.locked("run.txt", "ai-edge-litert")
    wrong = entry.splitlines()[0] + "\n    --hash=sha256:" + "0" * 64
    with pytest.raises(wheels.WheelError, match="DO NOT MATCH THE HASHES"):
        wheels.fetch(wrong, "3.12", "x86_64", tmp_path)
