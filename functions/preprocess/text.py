"""Text to token ids, exactly as Keras' `Tokenizer` + `pad_sequences` do it, without Keras.

Agreed with `texts_to_sequences` on every line of the held-out reviews and on hostile Unicode
(tests/functions/preprocess). Two details carry the equality: Keras lower-cases the whole text
before it strips filters, and a word counts only if its rank is below `num_words`.
"""

from __future__ import annotations

from array import array

from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec
from models.strict_json import loads
from models.typed import Any, Mapping, Sequence

VOCABULARY_FILE = "vocabulary.json"


class KerasTokenizer:
    """Preprocessing kind "keras-tokenizer": one text an instance → int32 ids [n, maxlen].

    Parameters: `filters`, `lower`, `split` and `oov` (id of the unknown word, or null) of the
    Tokenizer; `maxlen`, `padding` and `truncating` ("pre" or "post") of pad_sequences;
    `max_characters`, above which a text is refused. File: vocabulary.json, word → id.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Compile the vocabulary; `files` are verified already."""
        self.inputs = (TensorSpec("text", "string", (-1,)),)
        (self._target,) = signature.inputs
        self._ids: dict[str, int] = loads(files[VOCABULARY_FILE])
        self._split: str = parameters["split"]
        self._table = str.maketrans(dict.fromkeys(parameters["filters"], self._split))
        self._lower: bool = parameters["lower"]
        self._oov: int | None = parameters["oov"]
        self._maxlen: int = parameters["maxlen"]
        self._pad_before: bool = parameters["padding"] == "pre"
        self._cut_before: bool = parameters["truncating"] == "pre"
        self._max_characters: int = parameters["max_characters"]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Encode a batch of texts; InputError names the text that is too long."""
        texts = inputs[0].data
        ids = array("i")
        for number, text in enumerate(texts):
            assert isinstance(text, str)
            if len(text) > self._max_characters:
                limit = self._max_characters
                raise InputError(
                    f"text {number} has {len(text):,} characters; at most {limit:,} were expected"
                )
            ids.extend(self.encode(text))
        return [Tensor(self._target.name, "int32", (len(texts), self._maxlen), ids.tobytes())]

    def encode(self, text: str) -> list[int]:
        """Token ids of one text, cut and padded to `maxlen`."""
        if self._lower:
            text = text.lower()
        words = (word for word in text.translate(self._table).split(self._split) if word)
        if self._oov is None:
            ids = [self._ids[word] for word in words if word in self._ids]
        else:
            ids = [self._ids.get(word, self._oov) for word in words]
        if len(ids) > self._maxlen:
            ids = ids[-self._maxlen :] if self._cut_before else ids[: self._maxlen]
        padding = [0] * (self._maxlen - len(ids))
        return padding + ids if self._pad_before else ids + padding
