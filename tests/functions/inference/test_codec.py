"""JSON is read as the standard library reads it, on a shorter way."""

import json
from array import array
from math import isfinite

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.inference.codec import nested, parse_json, tensors_from_instances, texts_of
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import TensorSpec

BLANKS = st.text(" \t\r\n\x0b\u00a0", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(BLANKS, VALUES, BLANKS, st.sampled_from(["", "", ",", "{}", "1", '"']))
def test_a_document_is_taken_or_refused_as_by_json_loads(before, value, after, more):
    text = before + json.dumps(value) + after + more
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"line|char|JSON"):
            parse_json(text.encode())
    else:
        assert parse_json(text.encode()) == expected


@pytest.mark.parametrize("text", ["", " ", "nul", "NaN", "[Infinity]", "[1,]", "\ufeff{}", "{} {}"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(ValueError, match=r"line|JSON"):
        parse_json(text.encode())


def tensor(code, dtype, values):
    return Tensor("x", dtype, (len(values),), array(code, values).tobytes())


@given(st.lists(st.floats(width=32)))
@example([0.0, -0.0, 1.0, 123456789.0, 1e9, 1e16, 1e-4, 1e-5, 1e-45, 3.4e38, 0.1, 16777216.0])
def test_a_float32_is_written_in_the_nine_digits_that_carry_it(values):
    values = array("f", values)
    texts = texts_of(tensor("f", "float32", values))
    assert texts == [json.dumps(float(f"{v:.9g}")) if isfinite(v) else "null" for v in values]
    back = array("f", [float(text) for text in texts if text != "null"])
    assert back == array("f", filter(isfinite, values))


@given(st.lists(st.floats()))
def test_a_float64_is_written_whole(values):
    written = [json.dumps(v) if isfinite(v) else "null" for v in values]
    assert texts_of(tensor("d", "float64", values)) == written


def test_other_types_are_written_as_json_has_them():
    assert texts_of(tensor("q", "int64", [-(2**63), 7])) == ["-9223372036854775808", "7"]
    assert texts_of(tensor("B", "bool", [1, 0])) == ["true", "false"]
    assert texts_of(Tensor("x", "string", (2,), ['"', "é"])) == ['"\\""', '"\\u00e9"']


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple))
def test_texts_fold_as_their_shape_says(shape):
    def counted(sizes, numbers):
        return [counted(sizes[1:], numbers) for _ in range(sizes[0])] if sizes else next(numbers)

    whole = counted(shape, iter(range(1000)))
    flat = [str(number) for number in range(len(json.dumps(whole).replace("]", "").split(",")))]
    assert json.loads(f"[{','.join(nested(flat, shape))}]") == whole


NUMBER = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text(max_size=1))
ROW = st.one_of(NUMBER, st.lists(st.one_of(st.floats(width=32), NUMBER, st.lists(NUMBER)), max_size=3))


@given(st.lists(ROW, min_size=1, max_size=3), st.sampled_from(["float32", "float64"]), st.integers(1, 3))
@example([[1.0, 1e39]], "float32", 2)
@example([[True, 1]], "float32", 2)
@example([[10**400, 1]], "float64", 2)
def test_flat_rows_are_read_as_any_shape_is(rows, dtype, width):
    """A third dimension of one takes the long way to the same bytes."""
    deep = [[[value] for value in row] if isinstance(row, list) else row for row in rows]

    def read(instances, shape):
        try:
            return tensors_from_instances(instances, [TensorSpec("x", dtype, shape)])[0].data
        except InputError:
            return None

    assert read(rows, (-1, width)) == read(deep, (-1, width, 1))
