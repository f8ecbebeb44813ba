"""Token ids without Keras are Keras' token ids: on every real review, and on hostile text."""

import csv
import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from functions.preprocess.tensors import InputError, Tensor
from functions.preprocess.text import KerasTokenizer
from infra.pipeline import Built
from infra.workspace import Workspace
from models.catalog.entries import load_entry
from models.data import cached_path
from models.manifest import Signature, TensorSpec

HOSTILE = [
    "",
    " ",
    "\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000",
    "İstanbul IİıI ß ẞ ǅ ŉ ΑΣ Σ ΣΑΣ",  # lower case that grows, and the final sigma
    "naïve nai\u0308ve ﬁne ﬀ",
    "don't “quoted” 'single' it's—dash–dash",
    "<br /><br />great!!!great???great",
    "zero\u200bwidth\u200djoiner\ufeffmark\u00adsoft",
    "\u202eright to left\u202c \u0661\u0662\u0663 שלום مرحبا",
    "👩‍👩‍👧‍👦 🏳️‍🌈 \U0001f1eb\U0001f1f7",
    "\x00\x01\x7f null\x00inside",
    "\ud800 lone \udfff surrogates",
    "a" * 10_000,
    "great " * 2_000,
    "!" * 5_000,
    "great\tbad\nfilm,plot;acting",
]


def scrambled(count: int) -> list[str]:
    """Random text over all of Unicode, of every category, mixed with words that are known."""
    generator = random.Random(5)
    words = ["great", "bad", "film", "THE", "plot", " ", "\t", "!", "'", "\u0130", "\u03a3"]
    texts = []
    for _ in range(count):
        points = [chr(generator.randrange(0x110000)) for _ in range(generator.randrange(30))]
        some = [generator.choice(words) for _ in range(generator.randrange(30))]
        mixed = points + some
        generator.shuffle(mixed)
        texts.append("".join(mixed))
    return texts


FIT = ["a great film, a GREAT plot", "bad acting; the film is bad", "don't <br /> it's naïve ΣΑΣ İ 👩"]
CASES: list[dict[str, Any]] = [
    {"tokenizer": {}, "padding": {"maxlen": 20}},
    {"tokenizer": {"num_words": 5}, "padding": {"maxlen": 20}},
    {"tokenizer": {"num_words": 5, "oov_token": "<unknown>"}, "padding": {"maxlen": 20}},
    {"tokenizer": {"oov_token": "great"}, "padding": {"maxlen": 20}},
    {"tokenizer": {"lower": False}, "padding": {"maxlen": 20, "padding": "post"}},
    {"tokenizer": {"filters": ""}, "padding": {"maxlen": 4, "truncating": "post"}},
    {"tokenizer": {"split": "a"}, "padding": {"maxlen": 4, "padding": "post", "truncating": "post"}},
    {"tokenizer": {"filters": "aé!", "split": "--"}, "padding": {"maxlen": 1}},
]


def make(parameters: dict[str, Any], vocabulary: dict[str, int]) -> KerasTokenizer:
    signature = Signature(
        (TensorSpec("tokens", "int32", (-1, parameters["maxlen"])),), (TensorSpec("y", "float32", (-1, 1)),)
    )
    return KerasTokenizer(parameters, {"vocabulary.json": json.dumps(vocabulary).encode()}, signature)


def encode(tokenizer: KerasTokenizer, texts: list[str]) -> bytes:
    (tensor,) = tokenizer([Tensor("text", "string", (len(texts),), texts)])
    assert isinstance(tensor.data, bytes)
    return tensor.data


@pytest.fixture(scope="module")
def keras(sentiment: Built, sentiment_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Keras' ids of all reviews, and of each case with its word index."""
    folder = tmp_path_factory.mktemp("keras")
    reviews = cached_path(load_entry("sentiment").data["reviews"], sentiment_workspace.data)
    tokenizer = sentiment_workspace.work / "sentiment" / "trained" / "tokenizer.json"
    texts = HOSTILE + scrambled(2_000)
    cases = [{**case, "fit": FIT, "texts": texts} for case in CASES]
    job = folder / "job.json"
    job.write_text(json.dumps({"reviews": str(reviews), "tokenizer": str(tokenizer), "cases": cases}))
    script = Path(__file__).with_name("encode_with_keras.py")
    made = subprocess.run([sys.executable, script, job], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


def test_ids_of_every_real_review_are_keras_s(
    keras: Path, sentiment: Built, sentiment_workspace: Workspace
) -> None:
    """All 33,530 texts of the data set, with the published vocabulary."""
    manifest = sentiment.manifest
    reviews = cached_path(load_entry("sentiment").data["reviews"], sentiment_workspace.data)
    with reviews.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    vocabulary = sentiment_workspace.registry().read(manifest, "vocabulary.json")
    tokenizer = KerasTokenizer(
        manifest.preprocess.parameters, {"vocabulary.json": vocabulary}, manifest.signatures["predict"]
    )
    assert len(texts) == 33_530
    assert encode(tokenizer, texts) == (keras / "reviews.ids").read_bytes()


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ids_of_hostile_text_are_keras_s(keras: Path, number: int) -> None:
    settings, padding = CASES[number]["tokenizer"], CASES[number]["padding"]
    index = json.loads((keras / f"{number}.json").read_text())
    limit = settings.get("num_words") or len(index) + 1
    vocabulary = {word: rank for word, rank in index.items() if rank < limit}
    parameters = {
        "filters": settings.get("filters", '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'),
        "lower": settings.get("lower", True),
        "split": settings.get("split", " "),
        "oov": index.get(settings.get("oov_token")),
        "maxlen": padding["maxlen"],
        "padding": padding.get("padding", "pre"),
        "truncating": padding.get("truncating", "pre"),
        "max_characters": 1_000_000,
    }
    tokenizer, width = make(parameters, vocabulary), 4 * padding["maxlen"]
    expected = (keras / f"{number}.ids").read_bytes()
    for row, text in enumerate(HOSTILE + scrambled(2_000)):
        assert encode(tokenizer, [text]) == expected[row * width : (row + 1) * width], ascii(text)


def test_the_scrambled_text_is_hostile_enough() -> None:
    categories = {unicodedata.category(character) for text in scrambled(2_000) for character in text}
    assert categories >= {"Cn", "Cs", "Co", "Lo", "Ll", "Mn", "So", "Zs", "Cc"}


def test_refuses_a_text_that_is_too_long_by_its_number() -> None:
    tokenizer = make({**PLAIN, "max_characters": 10}, {"great": 1})
    assert encode(tokenizer, ["great", "x" * 10])
    with pytest.raises(InputError, match="text 1 has 11 characters; at most 10 were expected"):
        encode(tokenizer, ["great", "x" * 11])


def test_a_batch_is_its_texts_one_by_one() -> None:
    tokenizer = make(PLAIN, {"great": 1, "film": 2})
    texts = ["great film", "", "film film great"]
    assert encode(tokenizer, texts) == b"".join(encode(tokenizer, [text]) for text in texts)


PLAIN = {
    "filters": "!",
    "lower": True,
    "split": " ",
    "oov": None,
    "maxlen": 4,
    "padding": "pre",
    "truncating": "pre",
    "max_characters": 100,
}
