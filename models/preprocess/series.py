"""Time series of the UCR/UEA archives, in their `.ts` form."""

from __future__ import annotations

from pathlib import Path

Series = list[list[float]]
"""Steps, each with its dimensions."""


def read_ts(path: Path) -> list[tuple[Series, str]]:
    """Each line's series and class; series may differ in length. ValueError where a value is missing."""
    found = []
    text = path.read_text("utf-8")
    for line in text.partition("@data")[2].splitlines():
        if line.strip():
            *dimensions, label = line.strip().split(":")
            columns = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
            found.append(([list(step) for step in zip(*columns, strict=True)], label))
    return found
