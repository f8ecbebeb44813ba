"""The preprocessing kinds by the name that manifests use. A new kind is one file and one entry here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from functions.preprocess.direct import Direct
from functions.preprocess.tensors import Tensor
from functions.preprocess.text import KerasTokenizer
from models.manifest import Preprocess, Signature, TensorSpec


class Preprocessor(Protocol):
    """Turns the tensors a caller gives into the ones the graph takes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller gives; the first dimension of each is the number of instances."""

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Convert a batch, in the order of `inputs`; InputError where a value does not fit."""


class _Kind(Protocol):
    def __call__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> Preprocessor: ...


KINDS: dict[str, _Kind] = {"none": Direct, "keras-tokenizer": KerasTokenizer}


def make_preprocessor(
    preprocess: Preprocess, files: Mapping[str, bytes], signature: Signature
) -> Preprocessor:
    """Build what a manifest describes; `files` are its files' verified bytes by name."""
    try:
        kind = KINDS[preprocess.kind]
    except KeyError:
        known = ", ".join(KINDS)
        raise ValueError(f"preprocessing kind {preprocess.kind!r} is unknown here (known: {known})") from None
    return kind(preprocess.parameters, files, signature)
