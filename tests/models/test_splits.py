"""Splits: parts share nothing, lose nothing, keep the labels' proportions, and never change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.splits import distinct, stratified_split

ROWS = st.lists(st.tuples(st.integers(), st.sampled_from("abc")), unique_by=lambda row: row[0], max_size=200)


@given(ROWS, st.floats(0, 1), st.integers(0, 2**32))
def test_parts_are_disjoint_and_whole(rows: list[tuple[int, str]], fraction: float, seed: int) -> None:
    rest, part = stratified_split(rows, fraction, seed)
    assert sorted(rest + part) == sorted(rows)
    for label in "abc":
        of_label = [row for row in rows if row[1] == label]
        assert len([row for row in part if row[1] == label]) == round(len(of_label) * fraction)
    assert stratified_split(rows, fraction, seed) == (rest, part)


def test_rows_sorted_by_label_come_out_mixed() -> None:
    rows = [(number, int(number >= 500)) for number in range(1000)]
    rest, part = stratified_split(rows, 0.2, seed=7)
    assert 0 < sum(label for _, label in part[:50]) < 50
    assert 0 < sum(label for _, label in rest[:50]) < 50
    assert stratified_split(rows, 0.2, seed=8) != (rest, part)


def test_distinct_keeps_the_first_and_the_order() -> None:
    assert distinct([("b", 1), ("a", 0), ("b", 1)]) == [("b", 1), ("a", 0)]


def test_distinct_refuses_one_value_with_two_labels() -> None:
    with pytest.raises(ValueError, match="two labels, 1 and 0: 'b'"):
        distinct([("b", 1), ("b", 0)])
