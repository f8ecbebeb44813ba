"""Split labelled rows into parts that share no row and no bias: seeded, stratified, no duplicates.

Standard library only, so that a split is the same under every version of every framework.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)
Label = TypeVar("Label", bound=Hashable)


def distinct(rows: Iterable[tuple[Value, Label]]) -> list[tuple[Value, Label]]:
    """Keep the first of equal values; ValueError where equal values carry different labels."""
    labels: dict[Value, Label] = {}
    for value, label in rows:
        if labels.setdefault(value, label) != label:
            raise ValueError(f"one value has two labels, {labels[value]!r} and {label!r}: {value!r:.200}")
    return list(labels.items())


def stratified_split(
    rows: Sequence[tuple[Value, Label]], fraction: float, seed: int
) -> tuple[list[tuple[Value, Label]], list[tuple[Value, Label]]]:
    """Split rows into (rest, part): `part` takes `fraction` of each label's rows. Both are shuffled."""
    by_label: dict[Label, list[tuple[Value, Label]]] = {}
    for row in rows:
        by_label.setdefault(row[1], []).append(row)
    generator = random.Random(seed)  # noqa: S311 - a split is no secret
    rest: list[tuple[Value, Label]] = []
    part: list[tuple[Value, Label]] = []
    for group in by_label.values():
        generator.shuffle(group)
        size = round(len(group) * fraction)
        part += group[:size]
        rest += group[size:]
    generator.shuffle(rest)
    generator.shuffle(part)
    return rest, part
