"""How the candidates of one model are made, and which of them is published.

| name | weights | arithmetic | size |
|---|---|---|---|
| float32 | as trained | float32 | 1 |
| float16 | halved | float32 (widened when loaded) | 1/2 |
| dynamic-int8 | int8, a scale a tensor or channel | int8 products of inputs scaled per call | 1/4 |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from models.manifest import Parity
from models.parity import Disagreement, ParityError, describe, shortfalls

AUTO = "auto"


class Candidate(NamedTuple):
    """One way to write a model, with what its proof gave."""

    quantization: str
    data: bytes
    parity: Parity
    disagreed: list[Disagreement]

    @property
    def passed(self) -> bool:
        """Whether it is within its gate's limits."""
        return not shortfalls(self.parity)


def _float32(converter: Any) -> None:
    """Leave the weights as they are."""


def _float16(converter: Any) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic_int8(converter: Any) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


QUANTIZATIONS: dict[str, Callable[[Any], None]] = {
    "float32": _float32,
    "float16": _float16,
    "dynamic-int8": _dynamic_int8,
}


def choose(candidates: Sequence[Candidate], quantization: str = AUTO) -> Candidate:
    """The candidate to publish: the one asked for, or the smallest that passes its gate.

    ParityError says of each candidate which limits it missed and which rows disagreed.
    """
    asked = [item for item in candidates if quantization in (AUTO, item.quantization)]
    passing = [item for item in asked if item.passed]
    if not passing:
        reasons = (
            f"{item.quantization}: {'; '.join([*shortfalls(item.parity), describe(item.disagreed)])}"
            for item in asked
        )
        raise ParityError(f"nothing is published, no candidate passes its gate. {'. '.join(reasons)}")
    return min(passing, key=lambda item: len(item.data))
