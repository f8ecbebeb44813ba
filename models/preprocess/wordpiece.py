"""BERT's tokenizer as the `tokenizers` package runs it, and described for the kind "wordpiece".

Serving has its own (functions/preprocess/wordpiece.py), and the proof compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer  # type: ignore[import-untyped,import-not-found,unused-ignore]

from models.trained import Encoding

VOCABULARY_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"


class BertText:
    """Texts → ids and mask, int32 [n, longest text's]. Parameters: `max_tokens`, `max_characters`."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        """Read tokenizer.json and vocab.txt, which say the same, from `folder`."""
        self._parameters = parameters
        self._vocabulary = (folder / VOCABULARY_FILE).read_bytes()
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.enable_truncation(parameters["max_tokens"])
        self._tokenizer.enable_padding()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Ids and mask by the package."""
        encoded = self._tokenizer.encode_batch(list(texts))
        return (
            np.array([item.ids for item in encoded], "int32"),
            np.array([item.attention_mask for item in encoded], "int32"),
        )

    def describe(self) -> Encoding:
        """The same for serving."""
        return Encoding("wordpiece", dict(self._parameters), {VOCABULARY_FILE: self._vocabulary})
