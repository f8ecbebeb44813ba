"""Keras' Tokenizer and pad_sequences: fitted, kept, and described for the kind "keras-tokenizer".

Encoding here is Keras' own code. Serving has its own (functions/preprocess/text.py), and the
proof compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras.preprocessing.text import Tokenizer, tokenizer_from_json

from models.trained import Encoding

TOKENIZER_FILE = "tokenizer.json"


class KerasText:
    """Texts → int32 ids [n, maxlen]. Parameters: `num_words`, `maxlen`, `max_characters`."""

    def __init__(self, tokenizer: Any, parameters: Mapping[str, Any]) -> None:
        """Encode with a fitted tokenizer."""
        self.tokenizer = tokenizer
        self._parameters = parameters

    @classmethod
    def fit(cls, texts: Sequence[str], parameters: Mapping[str, Any]) -> KerasText:
        """Rank the words of `texts`, which must hold no held-out text."""
        tokenizer = Tokenizer(num_words=parameters["num_words"])
        tokenizer.fit_on_texts(texts)
        return cls(tokenizer, parameters)

    @classmethod
    def load(cls, folder: Path, parameters: Mapping[str, Any]) -> KerasText:
        """Read back what `save` wrote."""
        return cls(tokenizer_from_json((folder / TOKENIZER_FILE).read_text("utf-8")), parameters)

    def save(self, folder: Path) -> None:
        """Keep the tokenizer in Keras' own form."""
        (folder / TOKENIZER_FILE).write_text(self.tokenizer.to_json(), "utf-8")

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        """Token ids by Keras."""
        ids = self.tokenizer.texts_to_sequences(texts)
        return pad_sequences(ids, maxlen=self._parameters["maxlen"], dtype="int32")  # type: ignore[no-any-return]

    def describe(self) -> Encoding:
        """The same for serving: words of a rank below `num_words`, which are all that Keras uses."""
        tokenizer = self.tokenizer
        limit = tokenizer.num_words or len(tokenizer.word_index) + 1
        vocabulary = {word: rank for word, rank in tokenizer.word_index.items() if rank < limit}
        parameters = {
            "filters": tokenizer.filters,
            "lower": tokenizer.lower,
            "split": tokenizer.split,
            "oov": vocabulary.get(tokenizer.oov_token),
            "maxlen": self._parameters["maxlen"],
            "padding": "pre",
            "truncating": "pre",
            "max_characters": self._parameters["max_characters"],
        }
        data = json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")).encode()
        return Encoding("keras-tokenizer", parameters, {"vocabulary.json": data})
