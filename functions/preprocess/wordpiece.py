"""BERT's uncased WordPiece, as the `tokenizers` package does it, with the standard library alone.

Agreed with it on real and on hostile text (tests/functions/preprocess). Unicode's own versions differ
between the two: characters assigned since the package's tables were made may be cut otherwise.
"""

from __future__ import annotations

from array import array

from functions.preprocess.tensors import InputError, Tensor
from models.functional import lru_cache
from models.manifest import Signature, TensorSpec
from models.typed import Any, Iterator, Mapping, Sequence

VOCABULARY_FILE = "vocab.txt"
IDS, MASK = "ids", "mask"

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTROL = ("Cc", "Cf", "Co")
_LONGEST_WORD = 100
_REMEMBERED = 20_000

# CJK ideographs, each of which is a word of its own.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Preprocessing kind "wordpiece": one text an instance → int32 "ids" and "mask" [n, longest text's].

    Parameters: `max_tokens` ([CLS] and [SEP] counted; what is longer is cut) and `max_characters`,
    above which a text is refused. File: vocab.txt, a piece a line, "##" before one that goes on a word.
    """

    def __init__(
        self, parameters: Mapping[str, Any], files: Mapping[str, bytes], signature: Signature
    ) -> None:
        """Read the vocabulary; `files` are verified already."""
        self.inputs = (TensorSpec("text", "string", (-1,)),)
        if {spec.name for spec in signature.inputs} != {IDS, MASK}:
            raise ValueError('the graph should take exactly "ids" and "mask"')
        self._max_tokens: int = parameters["max_tokens"]
        self._max_characters: int = parameters["max_characters"]
        lines = files[VOCABULARY_FILE].decode().split("\n")
        self._ids = {piece.rstrip("\r"): number for number, piece in enumerate(lines) if piece}
        self._unknown, self._start, self._end = (self._ids[name] for name in ("[UNK]", "[CLS]", "[SEP]"))
        self._pieces = lru_cache(_REMEMBERED)(self._split_word)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Encode a batch, padded to its longest text; InputError names the text that is too long."""
        rows = []
        for number, text in enumerate(inputs[0].data):
            assert isinstance(text, str)
            if len(text) > self._max_characters:
                limit = self._max_characters
                raise InputError(
                    f"text {number} has {len(text):,} characters; at most {limit:,} were expected"
                )
            rows.append(self.encode(text))
        longest = max(map(len, rows))
        ids, mask = array("i"), array("i")
        for row in rows:
            padding = [0] * (longest - len(row))
            ids.extend(row + padding)
            mask.extend([1] * len(row) + padding)
        shape = (len(rows), longest)
        return [Tensor(IDS, "int32", shape, ids.tobytes()), Tensor(MASK, "int32", shape, mask.tobytes())]

    def encode(self, text: str) -> list[int]:
        """Ids of one text between [CLS] and [SEP]."""
        ids: list[int] = []
        room = self._max_tokens - 2
        for part in _around_specials(text):
            pieces = [(self._ids[part],)] if part in _SPECIAL else map(self._pieces, _words(part))
            for piece in pieces:
                ids.extend(piece)
                if len(ids) >= room:
                    return [self._start, *ids[:room], self._end]
        return [self._start, *ids, self._end]

    def _split_word(self, word: str) -> tuple[int, ...]:
        """The longest known piece first, and so on; one unknown piece makes all of the word unknown."""
        if len(word) > _LONGEST_WORD:
            return (self._unknown,)
        found, at = [], 0
        while at < len(word):
            before = "##" if at else ""
            for end in range(len(word), at, -1):
                number = self._ids.get(before + word[at:end])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            found.append(number)
            at = end
        return tuple(found)


def _around_specials(text: str) -> Iterator[str]:
    """Cut out the special tokens, which count as such wherever they are written."""
    while True:
        places = ((text.find(name), name) for name in _SPECIAL)
        at, name = min(((at, name) for at, name in places if at >= 0), default=(-1, ""))
        if at < 0:
            yield text
            return
        yield text[:at]
        yield name
        text = text[at + len(name) :]


def _words(text: str) -> Iterator[str]:
    """Cleaned, without accents, in lower case; punctuation marks stand alone."""
    from unicodedata import category, normalize

    kept = []
    for character in text:
        code = ord(character)
        if character in "\t\n\r" or character.isspace():
            kept.append(" " if character in "\t\n\r" or category(character)[0] == "Z" else "")
        elif code and code != 0xFFFD and category(character) not in _CONTROL:
            kept.append(f" {character} " if _is_ideograph(code) else character)
    plain = (c for c in normalize("NFD", "".join(kept)) if category(c) != "Mn")
    # Character by character: of a whole word, Python's lower() knows the final sigma.
    for word in "".join([character.lower() for character in plain]).split():
        start = 0
        for at, character in enumerate(word):
            if _is_punctuation(character) or category(character)[0] == "P":
                if at > start:
                    yield word[start:at]
                yield character
                start = at + 1
        if start < len(word):
            yield word[start:]


def _is_ideograph(code: int) -> bool:
    return code >= 0x3400 and any(first <= code <= last for first, last in _IDEOGRAPHS)


def _is_punctuation(character: str) -> bool:
    return character.isascii() and character.isprintable() and not character.isalnum() and character != " "
