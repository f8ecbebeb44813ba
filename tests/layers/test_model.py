import json
import zipfile

import pytest

from layers import model
from models.manifest import (
    Gate,
    Manifest,
    ManifestError,
    Parity,
    Preprocess,
    Signature,
    TensorSpec,
    describe_file,
    from_json,
)
from models.registry import Registry, UnknownModel
from models.store import LocalStore

FILES = {"model.tflite": b"a model" * 1000, "vocabulary.json": b'{"word": 1}'}


@pytest.fixture
def registry(tmp_path):
    vocabulary = describe_file("vocabulary.json", FILES["vocabulary.json"])
    manifest = Manifest(
        name="sentiment",
        version="",
        family="lstm",
        task="text-classification",
        signatures={"predict": Signature((TensorSpec("x", "int32", (-1, 4)),), ())},
        preprocess=Preprocess("keras-tokenizer", {"maxlen": 4}, (vocabulary,)),
        labels=("negative", "positive"),
        max_instances=8,
        source={"framework": "keras"},
        quantization="float32",
        parity=Parity(10, 1.0, 0.0, Gate(10, 1.0, 0.001)),
        training={},
        licence="Apache-2.0",
        model=describe_file("model.tflite", FILES["model.tflite"]),
        recipe="r",
    )
    registry = Registry(LocalStore(tmp_path / "registry"))
    registry.publish(manifest, FILES)
    registry.publish(manifest._replace(recipe="s"), FILES)
    return registry


def test_a_version_lies_where_the_handler_reads_it(registry, tmp_path):
    layer = model.build(registry, "sentiment", "2", tmp_path)
    assert layer.name == "model-sentiment-2"
    archive = zipfile.ZipFile(layer.path)
    inside = {name.removeprefix("payphone/sentiment/"): archive.read(name) for name in archive.namelist()}
    assert from_json(inside.pop("manifest.json")) == registry.manifest("sentiment", "2")
    assert inside == FILES


def test_each_version_is_a_layer_of_its_own_and_the_same_one_each_time(registry, tmp_path):
    first = model.build(registry, "sentiment", "1", tmp_path / "a")
    again = model.build(registry, "sentiment", "1", tmp_path / "b")
    other = model.build(registry, "sentiment", "2", tmp_path / "a")
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()


def test_a_tampered_file_gets_into_no_layer(registry, tmp_path):
    stored = registry.store.root / "sentiment" / "1" / "model.tflite"
    stored.chmod(0o600)
    stored.write_bytes(b"b model" * 1000)
    with pytest.raises(ManifestError, match="SHA-256"):
        model.build(registry, "sentiment", "1", tmp_path / "layers")
    assert not (tmp_path / "layers").exists()


def test_a_version_that_was_never_published_is_refused(registry, tmp_path):
    with pytest.raises(UnknownModel, match="versions: 1, 2"):
        model.build(registry, "sentiment", "3", tmp_path)


def test_nothing_in_it_is_executable_code(registry, tmp_path):
    layer = model.build(registry, "sentiment", "1", tmp_path)
    names = [name.rsplit("/", 1)[-1] for name in layer.files]
    assert names == ["manifest.json", "model.tflite", "vocabulary.json"]
    assert json.loads(zipfile.ZipFile(layer.path).read("payphone/sentiment/manifest.json"))["version"] == "1"
