"""How the candidates of one model are made, and which of them is published.

| name | weights | arithmetic | size |
|---|---|---|---|
| float32 | as trained | float32 | 1 |
| float16 | halved | float32 (widened when loaded) | 1/2 |
| dynamic-int8 | int8, a scale a tensor or channel | int8 products of inputs scaled per call | 1/4 |
| full-int8 | the same | int8 throughout, by ranges seen in training rows; pays for CNNs only | 1/4 |

Inputs and outputs keep their types in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from models.manifest import Parity
from models.parity import Disagreement, ParityError, describe, shortfalls

AUTO = "auto"
SLOWER = 1.1  # times float32's: what a shared machine's clock can't tell apart counts as no slower

Calibration = Mapping[str, Any] | None
"""Training rows by input name, as the graph takes them."""


class Candidate(NamedTuple):
    """One way to write a model, with what its proof gave and the CPU time that one row takes."""

    quantization: str
    data: bytes
    parity: Parity
    disagreed: list[Disagreement]
    microseconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it is within its gate's limits."""
        return not shortfalls(self.parity)


def _float32(converter: Any, calibration: Calibration = None) -> None:
    """Leave the weights as they are."""


def _float16(converter: Any, calibration: Calibration = None) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic_int8(converter: Any, calibration: Calibration = None) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _full_int8(converter: Any, calibration: Calibration = None) -> None:
    import tensorflow as tf

    if not calibration:
        raise ValueError("full-int8 fits its ranges to training rows: the entry's load() has to give some")
    rows = min(len(array) for array in calibration.values())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        ("predict", {name: array[row : row + 1] for name, array in calibration.items()})
        for row in range(rows)
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]


QUANTIZATIONS: dict[str, Callable[..., None]] = {
    "float32": _float32,
    "float16": _float16,
    "dynamic-int8": _dynamic_int8,
    "full-int8": _full_int8,
}


def choose(candidates: Sequence[Candidate], quantization: str = AUTO) -> Candidate:
    """The candidate to publish: the one asked for, or the smallest that passes its gate and costs no speed.

    Speed is held against float32's, or the fastest's where there is no float32 that passes.
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
    plain = [item.microseconds for item in passing if item.quantization == "float32"]
    allowed = SLOWER * (plain or [min(item.microseconds for item in passing)])[0]
    fast = [item for item in passing if quantization != AUTO or item.microseconds <= allowed]
    return min(fast, key=lambda item: len(item.data))


def outcomes(candidates: Sequence[Candidate], chosen: Candidate) -> list[dict[str, Any]]:
    """All candidates for the manifest's `training`, with what became of each."""
    return [
        {
            "quantization": item.quantization,
            "bytes": len(item.data),
            "rows": item.parity.rows,
            "agreement": item.parity.agreement,
            "max_diff": item.parity.max_diff,
            "disagreed": len(item.disagreed),
            "microseconds": round(item.microseconds, 1),
            "passed": item.passed,
            "chosen": item is chosen,
        }
        for item in candidates
    ]
