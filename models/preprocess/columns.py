"""Rows of a table by column, described for the kind "columns"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.trained import Encoding


def encode(values: Iterable[Any], names: Sequence[str]) -> NDArray[np.float64]:
    """Public values, each a list or an object by name, as float64 rows."""
    rows = [[value[name] for name in names] if isinstance(value, dict) else value for value in values]
    return np.array(rows, dtype=np.float64)


def describe(names: Sequence[str]) -> Encoding:
    """The same for serving."""
    return Encoding("columns", {"names": list(names)}, {})
