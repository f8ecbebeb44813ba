"""A row of a table is the same row as a list, by its columns' names, and as the protocol's tensors."""

from array import array

import pytest

from functions.inference.codec import choose_form, tensors_from_instances
from functions.preprocess.columns import Columns
from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec

GRAPH = Signature((TensorSpec("x", "float32", (-1, 3)),), ())
NAMES = ["age", "income", "days"]


def rows(columns: Columns, instances: list) -> Tensor:
    form = choose_form(instances[0], (columns.inputs, *columns.alternatives))
    (tensor,) = columns(tensors_from_instances(instances, form))
    return tensor


@pytest.fixture
def columns() -> Columns:
    return Columns({"names": NAMES}, {}, GRAPH)


def test_lists_and_objects_are_the_same_rows(columns: Columns) -> None:
    by_order = rows(columns, [[41, 3e4, 0.1], [1, 2, 3]])
    by_name = rows(columns, [{"days": 0.1, "age": 41, "income": 3e4}, {"age": 1, "income": 2, "days": 3}])
    assert by_order == by_name
    assert by_order == Tensor("x", "float32", (2, 3), array("f", [41, 3e4, 0.1, 1, 2, 3]).tobytes())


def test_the_whole_row_may_be_named(columns: Columns) -> None:
    assert rows(columns, [{"features": [1, 2, 3]}]) == rows(columns, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("instances", "complaint"),
    [
        ([{"age": 1, "income": 2}], 'exactly "features" or "age"'),
        ([{"age": 1, "income": 2, "days": 3, "more": 4}], 'exactly "features" or "age"'),
        ([[1, 2]], "should have the shape"),
        ([[1, 2, None]], "should be numbers"),
        ([{"age": 1, "income": "2", "days": 3}], '"income" should be numbers'),
        ([{"age": 1, "income": 2, "days": 3}, [1, 2, 3]], "instance 1 should be an object"),
    ],
)
def test_what_is_no_row_is_refused(columns: Columns, instances: list, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        rows(columns, instances)


@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "more"], ["age", "age", "days"]])
def test_there_is_one_name_for_each_column(names: list[str]) -> None:
    with pytest.raises(ValueError, match="3 columns: one for each was expected"):
        Columns({"names": names}, {}, GRAPH)


def test_a_model_of_one_column_takes_a_number_by_name() -> None:
    column = Columns({"names": ["age"]}, {}, Signature((TensorSpec("x", "float32", (-1, 1)),), ()))
    assert rows(column, [{"age": 5}, {"age": 6}]) == rows(column, [[5], [6]])
