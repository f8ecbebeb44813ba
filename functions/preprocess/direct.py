"""No preprocessing: the caller gives the graph's own tensors."""

from __future__ import annotations

from functions.preprocess.tensors import Tensor
from models.manifest import Signature
from models.typed import Any, Mapping, Sequence


class Direct:
    """Preprocessing kind "none": public inputs are the signature's inputs."""

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Take the inputs from the signature; the kind has no parameters and no files."""
        self.inputs = signature.inputs

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Give the tensors as they came."""
        return list(inputs)
