"""Rows of a table: numbers in the order of the columns, or by the columns' names."""

from __future__ import annotations

from array import array

from functions.preprocess.tensors import Tensor
from models.manifest import Signature, TensorSpec
from models.typed import Any, Mapping, Sequence


class Columns:
    """Preprocessing kind "columns": "features" [n, columns], or one number for each column → float32 rows.

    Parameters: `names`, the columns in the order the graph takes them, and `missing`, whether values may be
    missing (NaN); they may not where it is left out. By name, an instance is an object such as
    {"age": 41, "income": 30000}; every column has to be there.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Take the columns' names; there are no files."""
        names = tuple(parameters["names"])
        (self._target,) = signature.inputs
        if len(set(names)) != self._target.shape[1] or len(names) != self._target.shape[1]:
            raise ValueError(
                f"{len(names)} names for {self._target.shape[1]} columns: one for each was expected"
            )
        self.inputs = (TensorSpec("features", "float32", (-1, len(names))),)
        self.takes_missing = parameters.get("missing") is True
        self.alternatives = (tuple(TensorSpec(name, "float32", (-1,)) for name in names),)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Give the rows, laid side by side where the columns came apart."""
        if len(inputs) == 1 and len(inputs[0].shape) == 2:
            return [inputs[0]._replace(name=self._target.name)]
        count, width = inputs[0].shape[0], len(inputs)
        rows = array("f", bytes(4 * count * width))
        for number, column in enumerate(inputs):
            assert isinstance(column.data, bytes)
            rows[number::width] = array("f", column.data)
        return [Tensor(self._target.name, "float32", (count, width), rows.tobytes())]
