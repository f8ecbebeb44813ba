import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.bundle import ROOT
from models.strict_json import dumps, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
WRONG = (
    "",
    " ",
    "{not",
    "[1,]",
    "[1",
    '{"a" 1}',
    "1 2",
    "NaN",
    "[-Infinity]",
    '"\x01"',
    "\ufeff{}",
    '"\\x"',
    "nul",
)
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from models.strict_json import loads
before = "json" in sys.modules
try:
    print("read", loads(sys.argv[2]))
except ValueError as error:
    print(before, error)
"""


@given(VALUES, st.sampled_from(["", " ", "\n\t\r "]))
def test_it_reads_and_writes_what_the_package_does(value, blanks):
    text = dumps(value)
    assert text == json.dumps(value, separators=(",", ":"), allow_nan=False)
    for given_text in (text, text.encode(), blanks + text + blanks):
        assert loads(given_text) == json.loads(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_json_is_refused_with_the_packages_words(text):
    said = None
    try:
        json.loads(text)
    except ValueError as error:
        said = str(error)
    with pytest.raises(ValueError, match=r".") as refused:
        loads(text)
    assert said is None or str(refused.value) == said or text == "\ufeff{}"


@pytest.mark.parametrize("text", [text for text in WRONG if text])
def test_and_so_where_nobody_has_imported_the_package(text):
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, str(ROOT), text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with pytest.raises(ValueError, match=r".") as refused:
        loads(text)
    assert done.stdout == f"False {refused.value}\n"


def test_what_nests_without_end_is_refused():
    with pytest.raises(RecursionError):
        loads("[" * 200_000)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_is_no_json_is_not_written(value):
    with pytest.raises((ValueError, TypeError)):
        dumps(value)
