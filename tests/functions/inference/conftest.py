"""Graphs for the runtimes, made once a session by TensorFlow in a child process."""

import os
import random
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from functions.preprocess.tensors import ELEMENT, Tensor, element_count
from models.manifest import Gate, Manifest, Parity, Preprocess, describe_file


@pytest.fixture(scope="session")
def graph_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    script = Path(__file__).with_name("make_graphs.py")
    made = subprocess.run(
        [sys.executable, script, folder],
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def graph(graph_folder):
    return lambda name: (graph_folder / f"{name}.tflite").read_bytes()


@pytest.fixture(scope="session")
def some_tensors():
    """Seeded inputs for a signature: free first dimensions get `batch`, other free ones 5."""

    def make(signature, batch, seed=0):
        chance = random.Random(f"{batch} {seed}")
        tensors = []
        for spec in signature.inputs:
            shape = tuple((batch, 5)[axis > 0] if size < 0 else size for axis, size in enumerate(spec.shape))
            count = element_count(shape)
            if spec.dtype.startswith("float"):
                values = [chance.gauss(0, 1) for _ in range(count)]
            else:
                values = [chance.randrange(2 if spec.dtype == "bool" else 100) for _ in range(count)]
            code = "B" if spec.dtype == "bool" else ELEMENT[spec.dtype][0]
            tensors.append(Tensor(spec.name, spec.dtype, shape, array(code, values).tobytes()))
        return tensors

    return make


@pytest.fixture(scope="session")
def manifest_of():
    """A manifest as a publisher would write it for these files and signatures."""

    def make(name, data, signatures, kind="none", parameters=None, files=None):
        refs = tuple(describe_file(file, content) for file, content in (files or {}).items())
        return Manifest(
            name=name,
            version="3",
            family="test",
            task="regression",
            signatures=signatures,
            preprocess=Preprocess(kind, parameters or {}, refs),
            labels=(),
            max_instances=64,
            source={"framework": "tensorflow"},
            quantization="float32",
            parity=Parity(1, 1.0, 0.0, Gate(1, 1.0, 0.0)),
            training={},
            licence="Apache-2.0",
            model=describe_file("model.tflite", data),
            recipe="",
        )

    return make
