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
    assert list(read_rows(None, file, [PIXELS])) == [[1, 2, 3, 4, 5, 6]]
    assert list(read_rows(None, file, [FREE])) == [[1, 2, 3, 4, 5, 6]]
