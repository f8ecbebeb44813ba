"""No preprocessing: the caller gives the graph's own tensors."""

from __future__ import annotations

from functions.preprocess.tensors import Tensor
from models.manifest import Signature
from models.typed import Any, Mapping, Sequence


class Direct:
    """Preprocessing kind "none": public inputs are the signature's inputs.

    Parameter: `missing`, whether floats may be missing (NaN); they may not where it is left out.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Take the inputs from the signature; there are no files."""
        self.inputs = signature.inputs
        self.takes_missing = parameters.get("missing") is True

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Give the tensors as they came."""
        return list(inputs)
