"""Lambda's limits on what a function is deployed from, checked before anything is deployed.

Source: AWS Lambda Developer Guide, "Lambda quotas". They are counted per function: its zip and all its
layers together. The limit of 50 MB on a zip holds for one that is uploaded in the call itself; a
deploy puts zips in S3 first, so over it a zip is only reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from layers.archive import Archive

UNZIPPED = 262_144_000
LAYERS = 5
DIRECT_UPLOAD = 52_428_800


class OverBudget(Exception):
    """A function that Lambda would refuse; the message says by how much and what to do."""


class Line(NamedTuple):
    """One limit: what is counted, how much of it is used (bytes, or layers), and what happens over it."""

    what: str
    used: int
    limit: int
    refused: bool

    @property
    def left(self) -> int:
        """How far from the limit, negative over it."""
        return self.limit - self.used


class Report(NamedTuple):
    """A function, its layers, and how far they are from each limit."""

    function: Archive
    layers: tuple[Archive, ...]
    lines: tuple[Line, ...]

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The function's zip and its layers."""
        return (self.function, *self.layers)


def measure(function: Archive, layers: Sequence[Archive]) -> Report:
    """Hold a function and its layers against the limits, without judging."""
    archives = (function, *layers)
    total = Line("unzipped, function and layers", sum(one.unzipped for one in archives), UNZIPPED, True)
    count = Line("layers", len(layers), LAYERS, True)
    uploads = (
        Line(f"{one.name}.zip, uploaded without S3", one.zipped, DIRECT_UPLOAD, False) for one in archives
    )
    return Report(function, tuple(layers), (total, count, *uploads))


def check(function: Archive, layers: Sequence[Archive]) -> Report:
    """Measure, and raise OverBudget if Lambda would refuse the function."""
    report = measure(function, layers)
    over = [line for line in report.lines if line.refused and line.left < 0]
    if over:
        raise OverBudget(" ".join(_explain(line, report) for line in over))
    return report


def _explain(line: Line, report: Report) -> str:
    if line.limit == LAYERS:
        return f"{report.function.name} has {line.used} layers, Lambda takes {LAYERS}. Join some of them."
    largest = max(report.archives, key=lambda one: one.unzipped)
    return (
        f"{report.function.name} and its layers are {line.used:,} bytes unzipped, {-line.left:,} over "
        f"Lambda's {UNZIPPED:,}; the largest is {largest.name} ({largest.unzipped:,}). A model of this size "
        "is loaded from S3 instead: set it so for this model in infra/service.toml and deploy again."
    )
