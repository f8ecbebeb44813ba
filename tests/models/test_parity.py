"""Parity: every way to differ is found and named, and nothing passes by being undefined."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.manifest import Gate
from models.parity import Answer, ParityError, compare, overlap, require, shortfalls

GATE = Gate(min_rows=3, min_agreement=1.0, max_diff=0.01)
BINARY, CLASSES = "binary-classification", "multiclass-classification"


def giving(scores: Sequence[object]) -> Answer:
    return lambda rows: np.array(scores)


def test_equal_answers_pass() -> None:
    scores = [0.1, 0.9, 0.5]
    parity, disagreed = compare(giving(scores), giving(scores), range(3), GATE, BINARY)
    assert parity == (3, 1.0, 0.0, GATE)
    assert disagreed == []
    require(parity, disagreed)


def test_names_the_rows_whose_labels_differ() -> None:
    source, converted = giving([0.4, 0.6, 0.5]), giving([0.6, 0.6, 0.500001])
    parity, disagreed = compare(source, converted, range(3), GATE, BINARY)
    assert parity.agreement == pytest.approx(1 / 3)
    assert parity.max_diff == pytest.approx(0.2)
    assert [item.row for item in disagreed] == [0, 2]
    with pytest.raises(ParityError) as error:
        require(parity, disagreed)
    assert "agreement is 33.3333%" in str(error.value)
    assert "largest difference is 0.2" in str(error.value)
    assert "row 0 (0.4 became 0.6), row 2 (0.5 became 0.500001)" in str(error.value)


def test_names_a_row_of_equal_label_but_too_far() -> None:
    parity, disagreed = compare(giving([0.1, 0.2, 0.3]), giving([0.1, 0.2, 0.32]), range(3), GATE, BINARY)
    assert parity.agreement == 1.0
    assert [item.row for item in disagreed] == [2]
    assert shortfalls(parity) == ["the largest difference is 0.02, at most 0.01 is allowed"]


def test_too_few_rows_do_not_pass() -> None:
    scores = giving([0.1, 0.9])
    with pytest.raises(ParityError, match="2 rows were compared, at least 3"):
        require(*compare(scores, scores, range(2), GATE, BINARY))
    with pytest.raises(ParityError, match="0 rows were compared"):
        require(*compare(giving([]), giving([]), [], GATE, BINARY))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["source", "converted", "both"])
def test_what_is_not_finite_never_passes(bad: float, side: str) -> None:
    broken, whole = giving([0.1, bad, 0.9]), giving([0.1, 0.8, 0.9])
    source = whole if side == "converted" else broken
    converted = whole if side == "source" else broken
    parity, disagreed = compare(source, converted, range(3), GATE, BINARY)
    assert [item.row for item in disagreed] == [1]
    assert len(shortfalls(parity)) == 2


def test_classes_are_decided_by_the_largest_score() -> None:
    source = giving([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]])
    converted = giving([[0.2, 0.495, 0.305], [0.395, 0.305, 0.3], [0.4999, 0.5, 0.0]])
    parity, disagreed = compare(source, converted, range(3), GATE, CLASSES)
    assert parity.agreement == pytest.approx(2 / 3)
    assert [item.row for item in disagreed] == [2]


def test_a_task_without_labels_agrees_by_distance() -> None:
    parity, disagreed = compare(
        giving([1.0, 2.0, 3.0]), giving([1.0, 2.005, 3.02]), range(3), GATE, "regression"
    )
    assert parity.agreement == pytest.approx(2 / 3)
    assert [item.row for item in disagreed] == [2]


def test_refuses_answers_of_another_shape() -> None:
    with pytest.raises(ParityError, match="3 rows were asked, 2 were answered"):
        compare(giving([0.1, 0.2]), giving([0.1, 0.2]), range(3), GATE, BINARY)
    with pytest.raises(ParityError, match="shape"):
        compare(giving([0.1, 0.2, 0.3]), giving([[0.1, 0.2]] * 3), range(3), GATE, BINARY)


def test_a_long_list_of_rows_is_cut_and_counted() -> None:
    parity, disagreed = compare(giving([0.0] * 50), giving([1.0] * 50), range(50), GATE, BINARY)
    with pytest.raises(ParityError, match=r"row 9 .* and 40 more"):
        require(parity, disagreed)


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=3, max_size=50))
def test_passes_exactly_when_no_row_disagrees(pairs: list[tuple[float, float]]) -> None:
    """With all labels required, the gate and the list of rows are two views of one thing."""
    source, converted = giving([a for a, _ in pairs]), giving([b for _, b in pairs])
    parity, disagreed = compare(source, converted, pairs, GATE, BINARY)
    assert bool(shortfalls(parity)) == bool(disagreed)


def finds(*boxes: tuple[float, ...]) -> list[float]:
    """Three finds of (x, y, width, height, score, class), zeros behind the last."""
    return [value for box in (*boxes, *[(0.0,) * 6] * (3 - len(boxes))) for value in box]


A, B = (2.0, 2.0, 10.0, 10.0, 0.9, 4.0), (30.0, 2.0, 10.0, 20.0, 0.8, 7.0)


@pytest.mark.parametrize(
    ("converted", "agrees"),
    [
        ((A, B), True),
        (((2.2, 2.2, 10.0, 10.0, 0.7, 4.0), B), True),  # nearly there, another score
        ((A,), False),
        ((A, B, B), False),
        ((A, (30.0, 2.0, 10.0, 20.0, 0.8, 1.0)), False),  # another name
        ((A, (33.0, 2.0, 10.0, 20.0, 0.8, 7.0)), False),  # another place
    ],
)
def test_a_detection_agrees_where_the_same_things_are_found(converted: tuple, agrees: bool) -> None:
    gate = Gate(1, 1.0, 100.0)
    parity, _ = compare(giving([finds(A, B)]), giving([finds(*converted)]), range(1), gate, "detection")
    assert parity.agreement == float(agrees)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1.0
    assert overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (2, 0, 2, 2)) == overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0
