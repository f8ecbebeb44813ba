"""The V1 dialect: what it takes, what it refuses and how, what it answers."""

import json
from array import array
from math import isnan

import pytest

from functions.calls import v1
from functions.calls.dialect import Asked, Receipt, Request
from functions.calls.problems import Problem
from functions.inference.answers import UnusableScores
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import TensorSpec

TEXT = TensorSpec("text", "string", (-1,))
ROW = TensorSpec("row", "float32", (-1, 3))
GRID = TensorSpec("grid", "int32", (-1, 2, -1))
FLAG = TensorSpec("flag", "bool", (-1,))
RECEIPT = Receipt("gw:1", 2, True, "1")


def request(body, content_type="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", "/v1/models/toy/predict", {"content-type": content_type}, data, "a", 0)


def test_a_single_input_takes_bare_values_and_objects(make_view):
    asked = v1.decode(make_view([TEXT]), request({"instances": ["a", {"text": "b"}]}))
    assert asked == Asked([Tensor("text", "string", (2,), ["a", "b"])], 2)


def test_numbers_become_little_endian_bytes(make_view):
    asked = v1.decode(make_view([ROW]), request({"instances": [[1, 2.5, -3], [4, 5, 6]]}))
    assert asked.tensors == [Tensor("row", "float32", (2, 3), array("f", [1, 2.5, -3, 4, 5, 6]).tobytes())]


def test_free_dimensions_take_any_equal_size(make_view):
    asked = v1.decode(make_view([GRID]), request({"instances": [[[1, 2, 3], [4, 5, 6]]]}))
    assert asked.tensors[0].shape == (1, 2, 3)


def test_several_inputs_come_by_name(make_view):
    view = make_view([ROW, FLAG])
    asked = v1.decode(view, request({"instances": [{"flag": True, "row": [1, 2, 3]}]}))
    assert [t.name for t in asked.tensors] == ["row", "flag"]
    assert asked.tensors[1].data == b"\x01"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "invalid-json"),
        (b'{"instances": [NaN]}', "invalid-json"),
        (b'{"instances": [Infinity]}', "invalid-json"),
        (b"\xff\xfe", "invalid-json"),
        (b"[" * 100_000, "invalid-json"),
        (b'{"instances": [' + b"1" * 5000 + b"]}", "invalid-json"),
        ([], "invalid-request"),
        ({}, "invalid-request"),
        ({"instances": "a"}, "invalid-request"),
        ({"instances": ["a"], "instancess": 1}, "invalid-request"),
        ({"instances": []}, "invalid-input"),
        ({"instances": ["a"] * 65}, "invalid-input"),
    ],
)
def test_a_body_that_is_not_as_expected_is_its_own_problem(make_view, body, kind):
    with pytest.raises(Problem) as raised:
        v1.decode(make_view([TEXT]), request(body))
    assert raised.value.kind == kind
    assert (
        "expected" in raised.value.detail or "should" in raised.value.detail or "read" in raised.value.detail
    )


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_other_content_types_are_refused(make_view, content_type):
    with pytest.raises(Problem) as raised:
        v1.decode(make_view([TEXT]), request({"instances": ["a"]}, content_type))
    assert raised.value.status == 415


def test_a_charset_is_fine(make_view):
    v1.decode(make_view([TEXT]), request({"instances": ["a"]}, "Application/JSON; charset=utf-8"))


@pytest.mark.parametrize(
    ("spec", "instances", "says"),
    [
        (TEXT, [1], "should be strings, a number came"),
        (TEXT, [None], "should be strings, a null came"),
        (TEXT, [["a"]], "should have a single value"),
        (TEXT, [{"txet": "a"}], 'exactly "text"'),
        (TEXT, [{"text": "a", "more": 1}], 'exactly "text"'),
        (ROW, [[1, 2]], "should have the shape [3], it has the shape [2]"),
        (ROW, [[1, 2, 3], [1, 2]], "instance 1"),
        (ROW, [[1, 2, 3], 7], "instance 1"),
        (ROW, [[1, 2, "3"]], "should be numbers (float32), a string came"),
        (ROW, [[1, 2, True]], "a boolean came"),
        (ROW, [[1, 2, None]], "a null came"),
        (ROW, [[1, 2, [3]]], "a list came"),
        (ROW, [[1, 2, 1e300]], "outside the range of float32"),
        (ROW, [[1, 2, 10**400]], "outside the range of float32"),
        (GRID, [[[1.5], [2]]], "should be whole numbers (int32), a fraction came"),
        (GRID, [[[2**31], [0]]], "outside the range of int32"),
        (GRID, [[[], []]], "should have the shape"),
        (FLAG, [1], "should be true or false"),
    ],
)
def test_what_does_not_fit_says_where_and_what_was_expected(make_view, spec, instances, says):
    with pytest.raises(InputError, match=None) as raised:
        v1.decode(make_view([spec]), request({"instances": instances}))
    assert says in str(raised.value)


def test_null_is_a_missing_value_where_the_model_takes_one(make_view):
    view = make_view([ROW], missing=True)
    (tensor,) = v1.decode(view, request({"instances": [[1, None, 3], [None, None, None]]})).tensors
    first, *missing, last = array("f", tensor.data)[:3]
    assert (tensor.shape, first, last) == ((2, 3), 1, 3)
    assert all(map(isnan, [*missing, *array("f", tensor.data)[3:]]))


@pytest.mark.parametrize(
    ("spec", "instances", "says"),
    [
        (ROW, [[1, 2, 1e300]], "outside the range of float32"),
        (ROW, [[1, None, 1e300]], "outside the range of float32"),
        (ROW, [[1, None, "3"]], "a string came"),
        (ROW, [None], "should have the shape [3], it has a single value"),
        (ROW, [[1, 2, 3], None], "instance 1"),
        (GRID, [[[1], [None]]], "should be whole numbers (int32), a null came"),
        (FLAG, [None], "should be true or false"),
        (TEXT, [None], "should be strings, a null came"),
    ],
)
def test_no_other_thing_is_missing(make_view, spec, instances, says):
    with pytest.raises(InputError, match=None) as raised:
        v1.decode(make_view([spec], missing=True), request({"instances": instances}))
    assert says in str(raised.value)


def answer(view, outputs, units=2, receipt=RECEIPT):
    return json.loads(v1.encode(view, Asked([], units), outputs, receipt).body)


def floats(name, shape, values):
    return Tensor(name, "float32", shape, array("f", values).tobytes())


def test_a_binary_classification_names_label_and_probabilities(make_view):
    view = make_view([TEXT], task="binary-classification", labels=("negative", "positive"))
    document = answer(view, [floats("score", (2, 1), [0.25, 0.875])])
    assert document["predictions"] == [
        {"label": "negative", "probability": 0.75, "probabilities": {"negative": 0.75, "positive": 0.25}},
        {"label": "positive", "probability": 0.875, "probabilities": {"negative": 0.125, "positive": 0.875}},
    ]
    assert document["model"] == "toy"
    assert document["usage"] == {"call_id": "gw:1", "units": 2, "billed": True}


def test_a_multiclass_classification_takes_the_first_of_the_largest(make_view):
    view = make_view([TEXT], task="multiclass-classification", labels=("a", "b", "c"))
    document = answer(view, [floats("score", (2, 3), [0.25, 0.5, 0.25, 0.5, 0.5, 0.0])])
    assert [p["label"] for p in document["predictions"]] == ["b", "a"]


def test_a_score_that_is_no_number_gives_no_label(make_view):
    view = make_view([TEXT], task="binary-classification", labels=("negative", "positive"))
    with pytest.raises(UnusableScores):
        answer(view, [floats("score", (2, 1), [0.5, float("nan")])])


def test_tensors_go_out_nested_with_null_for_what_json_can_not_say(make_view):
    view = make_view([ROW])
    outputs = [
        floats("x", (2, 2), [0.1, 1.5, float("inf"), -2]),
        Tensor("y", "int64", (2,), array("q", [1, 2]).tobytes()),
    ]
    first = answer(view, outputs[:1])["predictions"][0][0]
    assert array("f", [first]) == array("f", [0.1])
    assert answer(view, outputs)["predictions"][1] == {"x": [None, -2.0], "y": 2}


def test_a_replay_names_the_version_that_was_billed(make_view):
    document = answer(make_view([ROW]), [floats("x", (1, 1), [1.0])], 1, Receipt("ik:1", 1, False, "7"))
    assert document["usage"] == {"call_id": "ik:1", "units": 1, "billed": False, "billed_version": "7"}


PIXELS = TensorSpec("pixels", "float32", (-1, 2))
PNG = TensorSpec("png", "bytes", (-1,))


@pytest.mark.parametrize("instance", ["UE5H", {"png": "UE5H"}])
def test_a_file_comes_as_base64_in_place_of_its_numbers(make_view, instance):
    asked = v1.decode(make_view([PIXELS], [PNG]), request({"instances": [instance]}))
    assert asked == Asked([Tensor("png", "bytes", (1,), [b"PNG"])], 1)


@pytest.mark.parametrize("instance", [[1, 2], {"pixels": [1, 2]}])
def test_numbers_stay_the_first_form(make_view, instance):
    asked = v1.decode(make_view([PIXELS], [PNG]), request({"instances": [instance]}))
    assert asked.tensors == [Tensor("pixels", "float32", (1, 2), array("f", [1, 2]).tobytes())]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        (["no base64!"], '"png" should be a file\'s bytes in base64'),
        (["UE5"], '"png" should be a file\'s bytes in base64'),
        (["ü"], '"png" should be a file\'s bytes in base64'),
        ([{"png": 7}], '"png" should be base64 texts, a number came'),
        ([{"jpg": "UE5H"}], 'exactly "pixels" or "png"'),
        ([{"png": "UE5H", "pixels": [1, 2]}], 'exactly "pixels" or "png"'),
        (["UE5H", [1, 2]], '"png" should be base64 texts, a list came'),
        ([[1, 2], "UE5H"], 'instance 1: "pixels" is not of the shape'),
    ],
)
def test_a_batch_is_of_one_form(make_view, instances, said):
    with pytest.raises(InputError) as error:
        v1.decode(make_view([PIXELS], [PNG]), request({"instances": instances}))
    assert said in str(error.value)
