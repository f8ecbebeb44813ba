"""The Open Inference Protocol: JSON and binary tensors, both ways."""

import json
from array import array

import pytest

from functions.calls import v2
from functions.calls.dialect import Receipt, Request
from functions.calls.problems import Problem
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import TensorSpec

TEXT = TensorSpec("text", "string", (-1,))
ROW = TensorSpec("row", "float32", (-1, 2))
RECEIPT = Receipt("gw:1", 1, True, "1")
LABELS = ("no", "yes")


def request(document, tail=None, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    if tail is not None:
        found.setdefault("inference-header-content-length", str(len(body)))
    return Request("POST", "/v2/models/toy/infer", found, body + (tail or b""), "a", 0)


def tensor(name="row", shape=(1, 2), datatype="FP32", **more):
    return {"name": name, "shape": list(shape), "datatype": datatype, **more}


def strings(*texts):
    return b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)


@pytest.mark.parametrize("data", [[1, 2], [[1, 2]]])
def test_json_data_may_be_flat_or_nested(make_view, data):
    asked = v2.decode(make_view([ROW]), request({"inputs": [tensor(data=data)]}))
    assert asked.tensors == [Tensor("row", "float32", (1, 2), array("f", [1, 2]).tobytes())]


def test_binary_tensors_follow_the_json_in_order(make_view):
    document = {
        "inputs": [
            tensor("text", (1,), "BYTES", parameters={"binary_data_size": 7}),
            tensor(parameters={"binary_data_size": 8}),
        ]
    }
    asked = v2.decode(
        make_view([ROW, TEXT]), request(document, strings("abc") + array("f", [1, 2]).tobytes())
    )
    assert [t.data for t in asked.tensors] == [array("f", [1, 2]).tobytes(), ["abc"]]


def size(count):
    return {"binary_data_size": count}


@pytest.mark.parametrize(
    ("document", "tail", "headers"),
    [
        (b"{", None, {}),
        ([], None, {}),
        ({}, None, {}),
        ({"inputs": {}}, None, {}),
        ({"inputs": [1]}, None, {}),
        ({"inputs": []}, None, {}),
        ({"inputs": [tensor("other", data=[1, 2])]}, None, {}),
        ({"inputs": [tensor(data=[1, 2]), tensor(data=[1, 2])]}, None, {}),
        ({"inputs": [tensor(datatype="FP99", data=[1, 2])]}, None, {}),
        ({"inputs": [tensor(datatype=["FP32"], data=[1, 2])]}, None, {}),
        ({"inputs": [{"name": "row", "datatype": "FP32", "data": [1, 2]}]}, None, {}),
        ({"inputs": [tensor(shape=[1, True], data=[1, 2])]}, None, {}),
        ({"inputs": [tensor(data=[1, 2])], "id": 7}, None, {}),
        ({"inputs": [tensor(data=[1, 2])], "outputs": [{"name": "none"}]}, None, {}),
        ({"inputs": [tensor(data=[1, 2])], "outputs": {"name": "score"}}, None, {}),
        ({"inputs": [tensor(parameters=size(9))]}, b"12345678", {}),
        ({"inputs": [tensor(parameters=size(-1))]}, b"", {}),
        ({"inputs": [tensor(parameters=size("8"))]}, b"12345678", {}),
        ({"inputs": [tensor(parameters=size(8))]}, b"123456789", {}),
        ({"inputs": [tensor(data=[1, 2])]}, b"", {"inference_header_content_length": "9999"}),
        ({"inputs": [tensor(data=[1, 2])]}, b"", {"inference_header_content_length": "-1"}),
        ({"inputs": [tensor(data=[1, 2])]}, b"", {"inference_header_content_length": "²"}),
        ({"inputs": [tensor(data=[1, 2])]}, None, {"content_type": "text/plain"}),
        ({"inputs": [tensor(data=[1, 2])]}, None, {"content_type": "application/octet-stream"}),
    ],
)
def test_what_is_not_formed_as_expected_is_a_problem(make_view, document, tail, headers):
    with pytest.raises(Problem) as raised:
        v2.decode(make_view([ROW]), request(document, tail, **headers))
    assert 400 <= raised.value.status < 500


@pytest.mark.parametrize(
    ("item", "tail", "says"),
    [
        (tensor(shape=(1, 3), data=[1, 2, 3]), None, "should have the shape [-1, 2], [1, 3] came"),
        (tensor(shape=(0, 2), data=[]), None, "should have the shape"),
        (tensor(shape=(-1, 2), data=[1, 2]), None, "should have the shape"),
        (tensor(datatype="INT32", data=[1, 2]), None, "should be of type float32, int32 came"),
        (tensor(data=[1]), None, "its shape [1, 2] needs 2"),
        (tensor(data=[[1], [2]]), None, "not nested as its shape"),
        (tensor(), None, "data as a list"),
        (tensor(parameters=size(4)), b"1234", "has 4 bytes; its shape and type need 8"),
    ],
)
def test_a_tensor_that_does_not_fit_says_so(make_view, item, tail, says):
    with pytest.raises(InputError) as raised:
        v2.decode(make_view([ROW]), request({"inputs": [item]}, tail))
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "tail", [b"\x05\x00\x00\x00abc", b"\x01\x00\x00\x00\xff", strings("abc") + b"x", b"\x01"]
)
def test_broken_string_tensors_are_refused(make_view, tail):
    item = tensor("text", (1,), "BYTES", parameters=size(len(tail)))
    with pytest.raises(InputError):
        v2.decode(make_view([TEXT]), request({"inputs": [item]}, tail))


def test_the_first_dimension_must_agree(make_view):
    document = {"inputs": [tensor("text", (2,), "BYTES", data=["a", "b"]), tensor(data=[1, 2])]}
    with pytest.raises(Problem, match="invalid-input"):
        v2.decode(make_view([ROW, TEXT]), request(document))


def encode(view, document):
    asked = v2.decode(view, request(document))
    outputs = [Tensor("score", "float32", (1, 1), array("f", [0.75]).tobytes())]
    return v2.encode(view, asked, outputs, RECEIPT)


def test_an_answer_in_json_holds_label_and_scores(make_view):
    view = make_view([ROW], task="binary-classification", labels=LABELS)
    answer = encode(view, {"id": "mine", "inputs": [tensor(data=[1, 2])]})
    document = json.loads(answer.body)
    assert answer.headers == {"content-type": "application/json"}
    assert document["id"] == "mine"
    assert document["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["yes"]},
        {"name": "score", "datatype": "FP32", "shape": [1, 1], "data": [0.75]},
    ]
    assert document["parameters"] == {"call_id": "gw:1", "units": 1, "billed": True}


def test_outputs_are_chosen_by_name_each_in_json_or_binary(make_view):
    view = make_view([ROW], task="binary-classification", labels=LABELS)
    asked = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]
    answer = encode(view, {"inputs": [tensor(data=[1, 2])], "outputs": asked})
    length = int(answer.headers["inference-header-content-length"])
    document = json.loads(answer.body[:length])
    assert [item["name"] for item in document["outputs"]] == ["score", "label"]
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 4}
    assert answer.body[length:] == array("f", [0.75]).tobytes()


def test_binary_data_output_makes_all_outputs_binary(make_view):
    view = make_view([ROW], task="binary-classification", labels=LABELS)
    answer = encode(view, {"inputs": [tensor(data=[1, 2])], "parameters": {"binary_data_output": True}})
    length = int(answer.headers["inference-header-content-length"])
    assert answer.body[length:] == strings("yes") + array("f", [0.75]).tobytes()


def test_metadata_names_every_tensor(make_view):
    view = make_view([TEXT], task="binary-classification", labels=LABELS)
    assert v2.model_metadata(view.manifest, view.inputs) == {
        "name": "toy",
        "versions": ["1"],
        "platform": "litert",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1, 1]},
        ],
    }


PIXELS = TensorSpec("pixels", "float32", (-1, 2))
PNG = TensorSpec("png", "bytes", (-1,))


def test_files_come_raw_or_as_base64(make_view):
    view, data = make_view([PIXELS], [PNG]), b"\x89PNG\x00\xff"
    raw = {"inputs": [tensor("png", (1,), "BYTES", parameters=size(4 + len(data)))]}
    asked = v2.decode(view, request(raw, len(data).to_bytes(4, "little") + data))
    assert asked.tensors == [Tensor("png", "bytes", (1,), [data])]
    asked = v2.decode(view, request({"inputs": [tensor("png", (1,), "BYTES", data=["iVBORwD/"])]}))
    assert asked.tensors == [Tensor("png", "bytes", (1,), [data])]
    asked = v2.decode(view, request({"inputs": [tensor("pixels", data=[1, 2])]}))
    assert asked.tensors[0].name == "pixels"


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("png", (1,), "FP32", data=[1])],
        [tensor("png", (1,), "BYTES", data=["!"])],
        [tensor("png", (1,), "BYTES", data=["UE5H"]), tensor("pixels", data=[1, 2])],
        [tensor("jpg", (1,), "BYTES", data=["UE5H"])],
    ],
)
def test_a_file_that_does_not_fit_is_refused(make_view, inputs):
    with pytest.raises((Problem, InputError)):
        v2.decode(make_view([PIXELS], [PNG]), request({"inputs": inputs}))
