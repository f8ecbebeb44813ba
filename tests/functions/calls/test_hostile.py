"""Any bytes in: a decoded request or a clear refusal, never anything else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.calls import v1, v2
from functions.calls.dialect import Asked, Request
from functions.calls.problems import Problem
from functions.preprocess.tensors import ELEMENT, InputError, element_count
from models.manifest import TensorSpec

SPECS = [
    [TensorSpec("x", "string", (-1,))],
    [TensorSpec("x", "float32", (-1, 2))],
    [TensorSpec("x", "int8", (-1, -1, 2)), TensorSpec("y", "bool", (-1,))],
    [TensorSpec("x", "int64", (-1,))],
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "z"]), inner, max_size=3)
    ),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y"]) | VALUES,
        "shape": st.lists(st.integers(-2, 3) | SCALARS, max_size=3) | VALUES,
        "datatype": st.sampled_from(["FP32", "BYTES", "INT8", "BOOL"]) | VALUES,
        "data": VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-2, 40) | SCALARS})
        | VALUES,
    },
)


def decode(dialect, view, headers, body):
    try:
        asked = dialect.decode(view, Request("POST", "/", headers, body, "a", 0))
    except (Problem, InputError) as refused:
        assert str(refused)
        return
    assert isinstance(asked, Asked)
    for tensor, spec in zip(asked.tensors, view.inputs, strict=True):
        assert (tensor.name, tensor.dtype) == (spec.name, spec.dtype)
        assert tensor.shape[0] == asked.units > 0
        width = ELEMENT[tensor.dtype][1] if tensor.dtype != "string" else 1
        assert len(tensor.data) == element_count(tensor.shape) * width


@pytest.mark.parametrize("specs", SPECS, ids=lambda specs: f"{specs[0].dtype}-{len(specs)}")
@given(document=VALUES | st.fixed_dictionaries({"instances": st.lists(VALUES, max_size=4)}))
@settings(max_examples=300, deadline=None)
def test_v1(make_view, specs, document):
    decode(v1, make_view(specs), {"content-type": "application/json"}, json.dumps(document).encode())


@pytest.mark.parametrize("specs", SPECS, ids=lambda specs: f"{specs[0].dtype}-{len(specs)}")
@given(
    document=VALUES
    | st.fixed_dictionaries(
        {"inputs": st.lists(TENSORS, max_size=3)},
        optional={"id": VALUES, "outputs": VALUES, "parameters": VALUES},
    ),
    tail=st.none() | st.binary(max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_v2(make_view, specs, document, tail):
    body = json.dumps(document).encode()
    headers = {} if tail is None else {"inference-header-content-length": str(len(body))}
    decode(v2, make_view(specs), headers, body + (tail or b""))


@given(body=st.binary(max_size=200), length=st.none() | st.text(max_size=5))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes(make_view, body, length):
    view = make_view(SPECS[0])
    decode(v1, view, {"content-type": "application/json"}, body)
    decode(v2, view, {} if length is None else {"inference-header-content-length": length}, body)
