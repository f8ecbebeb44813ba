"""A model as the dialects see it, with any signature a test asks for."""

from typing import NamedTuple

import pytest

from models.manifest import FileRef, Gate, Manifest, Parity, Preprocess, Signature, TensorSpec

SCORE = (TensorSpec("score", "float32", (-1, 1)),)


class View(NamedTuple):
    manifest: Manifest
    inputs: tuple[TensorSpec, ...]
    forms: tuple[tuple[TensorSpec, ...], ...]
    takes_missing: bool


@pytest.fixture(scope="session")
def make_view():
    """Build a View: public inputs (and other forms of them), graph outputs, task and labels."""

    def make(inputs, *others, outputs=SCORE, task="tensors", labels=(), most=64, missing=False):
        signature = Signature(tuple(inputs), tuple(outputs))
        manifest = Manifest(
            name="toy",
            version="1",
            family="test",
            task=task,
            signatures={"predict": signature},
            preprocess=Preprocess("none", {}, ()),
            labels=tuple(labels),
            max_instances=most,
            source={"framework": "none"},
            quantization="float32",
            parity=Parity(1, 1.0, 0.0, Gate(1, 1.0, 0.0)),
            training={},
            licence="Apache-2.0",
            model=FileRef("model.tflite", "0" * 64, 0),
            recipe="",
        )
        return View(manifest, tuple(inputs), (tuple(inputs), *map(tuple, others)), missing)

    return make
