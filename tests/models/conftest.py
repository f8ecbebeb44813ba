"""A small artifact that is consistent with its manifest; the bytes need not be a model here."""

from collections.abc import Callable

import pytest

from models.manifest import (
    Gate,
    Manifest,
    Parity,
    Preprocess,
    Signature,
    TensorSpec,
    describe_file,
)


@pytest.fixture
def files() -> dict[str, bytes]:
    return {"model.tflite": b"graph" * 100, "vocabulary.json": '{"été": 1}'.encode()}


@pytest.fixture
def make_manifest(files: dict[str, bytes]) -> Callable[..., Manifest]:
    """Make the manifest of `files`, with fields of one's own."""

    def make(**fields: object) -> Manifest:
        predict = Signature(
            (TensorSpec("tokens", "int32", (-1, 100)),), (TensorSpec("score", "float32", (-1, 1)),)
        )
        manifest = Manifest(
            name="sentiment",
            version="",
            family="lstm",
            task="binary-classification",
            signatures={"predict": predict},
            preprocess=Preprocess(
                "keras-tokenizer",
                {"maxlen": 100, "oov": None, "filters": "!\t"},
                (describe_file("vocabulary.json", files["vocabulary.json"]),),
            ),
            labels=("negative", "positive"),
            max_instances=64,
            source={"framework": "keras"},
            quantization="float32",
            parity=Parity(2000, 1.0, 1e-7, Gate(2000, 1.0, 1e-5)),
            training={"metric": {"name": "accuracy", "value": 0.84}},
            licence="Apache-2.0",
            model=describe_file("model.tflite", files["model.tflite"]),
            recipe="abc",
        )
        return manifest._replace(**fields)

    return make
