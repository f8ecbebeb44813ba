"""JSON is read as the standard library reads it, on a shorter way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inference.codec import parse_json

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
