"""Rows from the command line, as they would stand in a request."""

import base64
from pathlib import Path

import pytest

from infra.rows import RowError, read_rows
from models.manifest import TensorSpec

PIXELS = (TensorSpec("pixels", "float32", (-1, 4)),)
PNG = (TensorSpec("png", "bytes", (-1,)),)
GRID = (TensorSpec("grid", "int32", (-1, 2, 3)),)
FREE = (TensorSpec("steps", "float32", (-1, -1, 2)),)


def test_a_file_is_its_bytes_in_base64(tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_bytes(b"\x89PNG")
    expected = {"png": base64.b64encode(b"\x89PNG").decode()}
    assert list(read_rows(f"@{tmp_path / 'digit.png'}", None, [PIXELS, PNG])) == [expected]
    listed = tmp_path / "files.txt"
    listed.write_text(f"@{tmp_path / 'digit.png'}\n[1, 2, 3, 4]\n")
    assert list(read_rows(None, listed, [PIXELS, PNG])) == [expected, [1, 2, 3, 4]]
    with pytest.raises(RowError, match="row 1 is not JSON"):
        list(read_rows(f"@{tmp_path / 'digit.png'}", None, [PIXELS]))


def test_columns_fold_into_the_shape_of_an_instance(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b,c,d,e,f\n1,2,3,4,5,6\n")
    assert list(read_rows(None, file, [GRID])) == [[[1, 2, 3], [4, 5, 6]]]
    with pytest.raises(RowError, match="row 1 has 6 cells, and an instance of pixels has 4 numbers"):
        list(read_rows(None, file, [PIXELS]))
    assert list(read_rows(None, file, [FREE])) == [[1, 2, 3, 4, 5, 6]]


NAMED = [(TensorSpec("features", "float32", (-1, 2)),), tuple(TensorSpec(n, "float32", (-1,)) for n in "ab")]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("b,target,a\n2,9,1\n", [{"a": 1, "b": 2}]),
        ("x,y\n1,2\n", [[1, 2]]),
        ("1,2\n3,4.5\n", [[1, 2], [3, 4.5]]),
        ("\ufeffa,b\r\n1,2\r\n\r\n", [{"a": 1, "b": 2}]),
    ],
)
def test_columns_go_by_name_and_else_by_order(tmp_path: Path, text: str, rows: list) -> None:
    """A column that no input is called after is left out; a first line of numbers is a row."""
    file = tmp_path / "rows.csv"
    file.write_text(text)
    assert list(read_rows(None, file, NAMED)) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("b,a\n,1\n2,\n", [{"a": 1, "b": None}, {"a": None, "b": 2}]),
        (",2\n1,\n,\n", [[None, 2], [1, None], [None, None]]),
    ],
)
def test_an_empty_cell_is_missing_where_the_model_takes_that(tmp_path: Path, text: str, rows: list) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    assert list(read_rows(None, file, NAMED, takes_missing=True)) == rows
    with pytest.raises(RowError, match="row 1 is not JSON"):
        list(read_rows(None, file, NAMED))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x,y\n1\n", "row 1 has 1 cells; the header names 2 columns"),
        (b"x,y\n1,one\n", "row 1 is not JSON"),
        (b"\xff\xfe1,2\n", "is not UTF-8 text"),
        (b'x,y\n"1"2,3\n', "is no CSV"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    with pytest.raises(RowError, match=said):
        list(read_rows(None, file, NAMED))
