"""Text to terms and their counts, exactly as scikit-learn's TfidfVectorizer finds them, without it.

The tokens come from the same regular expression in the same engine; weighting by rarity and length is
the graph's part. Accents are stripped in scikit-learn's two ways, and n-grams made in its order.
"""

from __future__ import annotations

import re
from array import array

from functions.preprocess.tensors import InputError, Tensor
from models.manifest import Signature, TensorSpec
from models.strict_json import loads
from models.typed import Any, Callable, Mapping, Sequence

VOCABULARY_FILE = "vocabulary.json"
LEAST_TERMS = 64


def _unicode(text: str) -> str:
    if text.isascii():
        return text
    import unicodedata  # a large module, and few models need it

    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _ascii(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


ACCENTS: dict[str | None, Callable[[str], str]] = {None: str, "unicode": _unicode, "ascii": _ascii}


class Tfidf:
    """Preprocessing kind "tfidf": one text an instance → term ids int32 and counts float32, [n, terms].

    Parameters: `lowercase`, `strip_accents`, `token_pattern`, `ngrams` [least, most] and `stop_words`
    of the TfidfVectorizer; `max_characters`, above which a text is refused. File: vocabulary.json,
    the terms by id. The number of terms is that of the longest text, rounded up to a power of two so
    that the graph sees few shapes; free places have the id after the last, and count nothing.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Compile the pattern and the vocabulary; `files` are verified already."""
        self.inputs = (TensorSpec("text", "string", (-1,)),)
        terms = loads(files[VOCABULARY_FILE])
        self._ids = {term: number for number, term in enumerate(terms)}
        self._lowercase: bool = parameters["lowercase"]
        self._strip = ACCENTS[parameters["strip_accents"]]
        self._tokens = re.compile(parameters["token_pattern"]).findall
        self._least, self._most = parameters["ngrams"]
        self._stop_words = frozenset(parameters["stop_words"])
        self._max_characters: int = parameters["max_characters"]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Count the terms of a batch of texts; InputError names the text that is too long."""
        counted = []
        for number, text in enumerate(inputs[0].data):
            assert isinstance(text, str)
            if len(text) > self._max_characters:
                limit = self._max_characters
                raise InputError(
                    f"text {number} has {len(text):,} characters; at most {limit:,} were expected"
                )
            counted.append(self.count(text))
        width = LEAST_TERMS
        while width < max(map(len, counted)):
            width *= 2
        nothing = len(self._ids)
        ids, counts = array("i"), array("f")
        for terms in counted:
            free = width - len(terms)
            ids.extend([*terms, *[nothing] * free])
            counts.extend([*terms.values(), *[0] * free])
        shape = (len(counted), width)
        return [
            Tensor("counts", "float32", shape, counts.tobytes()),
            Tensor("ids", "int32", shape, ids.tobytes()),
        ]

    def count(self, text: str) -> dict[int, int]:
        """How often each known term stands in a text, by id."""
        if self._lowercase:
            text = text.lower()
        tokens: list[str] = self._tokens(self._strip(text))
        if self._stop_words:
            tokens = [token for token in tokens if token not in self._stop_words]
        counts: dict[int, int] = {}
        ids = self._ids
        for size in range(self._least, self._most + 1):
            terms = (
                tokens
                if size == 1
                else map(" ".join, zip(*(tokens[at:] for at in range(size)), strict=False))
            )
            for term in terms:
                number = ids.get(term)
                if number is not None:
                    counts[number] = counts.get(number, 0) + 1
        return counts
