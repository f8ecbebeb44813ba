"""The preprocessing kinds by the name that manifests use. A new kind is one file and one case here."""

from __future__ import annotations

from functions.preprocess.tensors import Tensor
from models.manifest import Preprocess, Signature, TensorSpec
from models.typed import Any, Mapping, Protocol, Sequence


class Preprocessor(Protocol):
    """Turns the tensors a caller gives into the ones the graph takes.

    A kind that takes the same in other forms too, such as a file, names them in `alternatives`:
    a tuple of sets of inputs. One whose floats may be missing (NaN, in JSON null) has a true `takes_missing`.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller gives; the first dimension of each is the number of instances."""

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Convert a batch, in the order of `inputs`; InputError where a value does not fit."""


class _Kind(Protocol):
    def __call__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> Preprocessor: ...


KINDS = ("audio", "columns", "image", "keras-tokenizer", "none", "tfidf", "wordpiece")


def _kind(name: str) -> _Kind:
    """Import one kind: a function that serves one model starts without the others."""
    match name:
        case "audio":
            from functions.preprocess.audio import Audio

            return Audio
        case "columns":
            from functions.preprocess.columns import Columns

            return Columns
        case "image":
            from functions.preprocess.image import Image

            return Image
        case "keras-tokenizer":
            from functions.preprocess.text import KerasTokenizer

            return KerasTokenizer
        case "none":
            from functions.preprocess.direct import Direct

            return Direct
        case "tfidf":
            from functions.preprocess.tfidf import Tfidf

            return Tfidf
        case "wordpiece":
            from functions.preprocess.wordpiece import WordPiece

            return WordPiece
        case _:
            raise ValueError(f"preprocessing kind {name!r} is unknown here (known: {', '.join(KINDS)})")


def make_preprocessor(
    preprocess: Preprocess, files: Mapping[str, bytes], signature: Signature
) -> Preprocessor:
    """Build what a manifest describes; `files` are its files' verified bytes by name."""
    return _kind(preprocess.kind)(preprocess.parameters, files, signature)
