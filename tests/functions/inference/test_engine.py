"""The engine serves what the manifest names, and nothing else."""

import json
from array import array

import pytest

from functions.inference.engine import InferenceError, ModelLoadError, load
from functions.inference.interpreter import InterpreterModel
from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec

VOCABULARY = json.dumps({f"word{number}": number for number in range(1, 1000)}).encode()
TOKENIZER = {
    "filters": "!.,",
    "lower": True,
    "split": " ",
    "oov": None,
    "maxlen": 20,
    "padding": "pre",
    "truncating": "pre",
    "max_characters": 500,
}


@pytest.fixture
def publish(graph, manifest_of):
    """A manifest and a reader for a graph, as the registry would give them."""

    def make(name, *, signatures=None, **preprocess):
        data = graph(name)
        found = signatures or InterpreterModel(data).signatures
        manifest = manifest_of(name, data, found, **preprocess)
        return manifest, {"model.tflite": data, **preprocess.get("files", {})}

    return make


@pytest.fixture
def sentiment(publish):
    manifest, files = publish(
        "lstm", kind="keras-tokenizer", parameters=TOKENIZER, files={"vocabulary.json": VOCABULARY}
    )
    return manifest, files


def test_a_text_model_answers(sentiment, graph):
    manifest, files = sentiment
    model = load(manifest, files.__getitem__)
    assert model.manifest is manifest
    assert model.inputs == (TensorSpec("text", "string", (-1,)),)
    assert model.outputs == (TensorSpec("score", "float32", (-1, 1)),)
    prepared = model.prepare([Tensor("text", "string", (2,), ["Word7, word8!", "nothing known"])])
    ids = array("i", [0] * 18 + [7, 8] + [0] * 20).tobytes()
    assert prepared == [Tensor("tokens", "int32", (2, 20), ids)]
    assert model.run(prepared) == InterpreterModel(graph("lstm")).run("predict", prepared)


def test_outputs_come_in_the_manifests_order(publish, some_tensors):
    manifest, files = publish("several")
    signature = manifest.signatures["predict"]
    reordered = Signature(signature.inputs[::-1], signature.outputs[::-1])
    model = load(manifest._replace(signatures={"predict": reordered}), files.__getitem__)
    answer = model.run(model.prepare(some_tensors(signature, 3)))
    assert [tensor.name for tensor in answer] == [spec.name for spec in reordered.outputs]


def test_a_second_signature(publish, some_tensors, graph):
    manifest, files = publish("two_signatures")
    model = load(manifest, files.__getitem__)
    tensors = some_tensors(manifest.signatures["explain"], 2)
    assert model.run(tensors, "explain") == InterpreterModel(graph("two_signatures")).run("explain", tensors)


@pytest.mark.parametrize("file", ["model.tflite", "vocabulary.json"])
@pytest.mark.parametrize("harm", ["cut", "longer", "one bit"])
def test_a_tampered_file_is_refused_and_the_others_go_on(file, harm, sentiment, publish, some_tensors):
    manifest, files = sentiment
    data = files[file]
    middle = len(data) // 2
    harmed = {
        "cut": data[:-1],
        "longer": data + b"\0",
        "one bit": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
    }[harm]
    with pytest.raises(ModelLoadError, match=rf"model lstm version 3 can't be loaded: {file}"):
        load(manifest, {**files, file: harmed}.__getitem__)
    other, its_files = publish("cnn")
    model = load(other, its_files.__getitem__)
    assert model.run(model.prepare(some_tensors(other.signatures["predict"], 1)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (TensorSpec("words", "int32", (-1, 20)), "words"),
        (TensorSpec("tokens", "int64", (-1, 20)), "int64"),
        (TensorSpec("tokens", "int32", (-1, 100)), "100"),
        (TensorSpec("tokens", "int32", (1, 20)), "20"),
    ],
)
def test_a_graph_that_is_not_the_manifests_is_refused(wrong, said, publish):
    manifest, files = publish("lstm")
    outputs = manifest.signatures["predict"].outputs
    signatures = {"predict": Signature((wrong,), outputs)}
    with pytest.raises(ModelLoadError, match=f"lstm version 3.*its manifest says.*{said}"):
        load(manifest._replace(signatures=signatures), files.__getitem__)


def test_a_signature_the_graph_does_not_have_is_refused(publish):
    manifest, files = publish("lstm")
    signatures = {**manifest.signatures, "explain": manifest.signatures["predict"]}
    with pytest.raises(ModelLoadError, match="'explain' is None"):
        load(manifest._replace(signatures=signatures), files.__getitem__)
    with pytest.raises(ModelLoadError, match="no signature 'predict'"):
        load(manifest._replace(signatures={}), files.__getitem__)


def test_what_else_can_not_be_loaded(publish, sentiment, tmp_path):
    manifest, files = sentiment
    with pytest.raises(ModelLoadError, match=r"lstm version 3 can't be loaded: .*vocabulary\.json"):
        load(manifest, {"model.tflite": files["model.tflite"]}.__getitem__)
    with pytest.raises(ModelLoadError, match="No such file"):
        load(manifest, lambda name: (tmp_path / name).read_bytes())
    unknown, its_files = publish("cnn", kind="astrology")
    with pytest.raises(ModelLoadError, match="astrology"):
        load(unknown, its_files.__getitem__)
    with pytest.raises(ModelLoadError, match=r"/nowhere\.so"):
        load(manifest, files.__getitem__, library="/nowhere.so")


@pytest.mark.parametrize("name", ["counting", "chance"])
def test_a_graph_that_can_not_be_replayed_is_refused(name, publish):
    manifest, files = publish(name)
    with pytest.raises(ModelLoadError, match=f"model {name} version 3.*variables or draws random"):
        load(manifest, files.__getitem__)


def test_the_interpreter_takes_what_the_binding_can_not(publish, some_tensors, graph):
    manifest, files = publish("shared_tensors")
    with pytest.raises(Exception, match="also an input"):
        LiteRTModel(files["model.tflite"])
    model = load(manifest, files.__getitem__)
    tensors = some_tensors(manifest.signatures["predict"], 3)
    assert model.run(tensors) == InterpreterModel(graph("shared_tensors")).run("predict", tensors)


def test_inputs_are_checked_before_they_are_prepared(sentiment, publish, some_tensors):
    manifest, files = sentiment
    model = load(manifest, files.__getitem__)
    for tensors, said in [
        ([], "text were expected"),
        ([Tensor("text", "int32", (1,), bytes(4))], "string was expected"),
        ([Tensor("text", "string", (2,), ["one"])], "1 elements; its shape"),
        ([Tensor("text", "string", (1, 1), ["one"])], r"\[-1\] was expected"),
        ([Tensor("text", "string", (0,), [])], "at least one element"),
        ([Tensor("text", "string", (1,), ["long " * 101])], "at most 500"),
    ]:
        with pytest.raises(InputError, match=said):
            model.prepare(tensors)
    several, files = publish("several")
    model = load(several, files.__getitem__)
    signature = several.signatures["predict"]
    mixed = [*some_tensors(signature, 2)[:1], *some_tensors(signature, 3)[1:]]
    with pytest.raises(InputError, match="same number of instances"):
        model.prepare(mixed)


def test_a_run_that_fails_says_which_model_and_harms_nothing(publish, some_tensors):
    manifest, files = publish("lstm")
    model = load(manifest, files.__getitem__)
    tensors = some_tensors(manifest.signatures["predict"], 1)
    answer = model.run(tensors)
    with pytest.raises(InferenceError, match=r"model lstm version 3: .*kLiteRtStatusErrorRuntimeFailure"):
        model.run([tensors[0]._replace(data=b"\xff\xff\xff\x7f" * 20)])
    with pytest.raises(InferenceError, match="was expected"):
        model.run([tensors[0]._replace(dtype="float32")])
    with pytest.raises(InferenceError, match="no signature 'explain'"):
        model.run(tensors, "explain")
    assert model.run(tensors) == answer
    model.close()
    with pytest.raises(InferenceError, match="closed"):
        model.run(tensors)


@pytest.mark.parametrize(
    "name",
    ["cnn", "cnn_int8", "attention", "forest", "fixed_batch", "scalar", "data_dependent", "no_signature"],
)
def test_every_kind_of_graph_loads(name, publish, some_tensors, graph):
    manifest, files = publish(name)
    model = load(manifest, files.__getitem__)
    tensors = some_tensors(manifest.signatures["predict"], 2)
    assert model.run(model.prepare(tensors)) == InterpreterModel(graph(name)).run("predict", tensors)
