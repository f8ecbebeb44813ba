"""WordPiece without a library is the `tokenizers` package's: on all of Unicode and on hostile text."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from functions.preprocess.tensors import InputError, Tensor
from functions.preprocess.wordpiece import WordPiece
from models.manifest import Signature, TensorSpec

LETTERS = "abcdefghijklmnopqrstuvwxyzσαéñ0123456789你好!?.,'-[]()"
PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *("the", "film", "##ing", "un", "##able", "great", "##est", "don", "naive", "istanbul", "ing"),
]
MOST = 24

# Characters that got or changed their category after the package's Unicode tables were made; the
# standard library's are newer. All others agree.
NEWER = 600


def make(**parameters: int) -> WordPiece:
    specs = (TensorSpec("ids", "int32", (-1, -1)), TensorSpec("mask", "int32", (-1, -1)))
    given_parameters = {"max_tokens": MOST, "max_characters": 100_000, **parameters}
    return WordPiece(given_parameters, {"vocab.txt": "\n".join(PIECES).encode()}, Signature(specs, ()))


@pytest.fixture(scope="module")
def reference() -> Tokenizer:
    """BERT's uncased tokenizer, as its authors' package puts it together."""
    vocabulary = {piece: number for number, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(PIECES[:5])
    tokenizer.enable_truncation(MOST)
    return tokenizer


@pytest.fixture(scope="module")
def newer(reference: Tokenizer) -> frozenset[str]:
    """Characters on which the two disagree one by one."""
    ours = make()
    codes = (*range(0xD800), *range(0xE000, 0x33500), *range(0x33500, 0x110000, 97), *range(0xE0000, 0xE0200))
    points = [chr(code) for code in codes]
    texts = [f"a{character}b" for character in points]
    found = reference.encode_batch(texts)
    return frozenset(
        character
        for character, text, theirs in zip(points, texts, found, strict=True)
        if ours.encode(text) != theirs.ids
    )


def test_every_character_is_cut_alike(newer: frozenset[str]) -> None:
    """But for the few that are newer than the package's Unicode, of which none is a letter."""
    assert len(newer) < NEWER
    assert not {character for character in newer if unicodedata.category(character)[0] == "L"}
    assert all(ord(character) > 0x600 for character in newer)


HOSTILE = [
    "",
    " \t\r\n\x0b\x0c\x85\xa0\u2028\u2029\u3000",
    "The FILM is great, un-able!",
    "naïve İstanbul ΣΑΣ ΑΣ ß ﬁ é e\u0301",
    "[CLS] [SEP][MASK]x[UNK]] [sep] [PAD",
    "你好the你",
    "x" * 100 + " " + "x" * 101 + " " + "a" * 100,
    "a\x00b\ufffdc\u200bd\u00ade\ufefff",
    "👩‍👩‍👧 🏳️‍🌈 \U000e0041",
    "the " * 200,
    "[SEP]" * 50,
    "!" * 300,
    "\U0010ffff\ue000\U000f0000",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text(reference: Tokenizer, text: str) -> None:
    assert make().encode(text) == reference.encode(text).ids


def test_mixed_unicode(reference: Tokenizer, newer: frozenset[str]) -> None:
    chance, ours = random.Random(4), make()
    words = [*HOSTILE[2:8], "the", " ", "film", "[SEP]", "\u0301", "'"]
    texts = []
    for _ in range(3_000):
        some = [chr(chance.randrange(0xD800)) for _ in range(12)] + [chance.choice(words) for _ in range(6)]
        some = [part for part in some if part not in newer]
        chance.shuffle(some)
        texts.append("".join(some))
    for text, theirs in zip(texts, reference.encode_batch(texts), strict=True):
        assert ours.encode(text) == theirs.ids, ascii(text)


@given(st.text(st.characters(max_codepoint=0x5FF), max_size=80))
def test_any_text(text: str) -> None:
    """Nothing raises, nothing is longer than allowed, and it begins and ends as BERT's input does."""
    ids = make().encode(text)
    assert (ids[0], ids[-1]) == (2, 3)
    assert 2 <= len(ids) <= MOST


def test_a_batch_is_padded_to_its_longest() -> None:
    ids, mask = make()([Tensor("text", "string", (3,), ["the", "", "the great film"])])
    assert (ids.shape, mask.shape) == ((3, 5), (3, 5))
    rows = memoryview(ids.data).cast("i").tolist()
    the, great, film = (PIECES.index(word) for word in ("the", "great", "film"))
    assert rows == [2, the, 3, 0, 0, 2, 3, 0, 0, 0, 2, the, great, film, 3]
    assert memoryview(mask.data).cast("i").tolist() == [1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]


def test_refusals() -> None:
    with pytest.raises(InputError, match="text 1 has 11 characters; at most 10 were expected"):
        make(max_characters=10)([Tensor("text", "string", (2,), ["a", "x" * 11])])
    with pytest.raises(ValueError, match='"ids" and "mask"'):
        WordPiece({}, {}, Signature((TensorSpec("tokens", "int32", (-1, 4)),), ()))
