"""Terms and counts without scikit-learn are scikit-learn's: on real reviews, and on hostile text."""

import csv
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from functions.preprocess.tensors import InputError, Tensor
from functions.preprocess.tfidf import Tfidf
from infra.pipeline import Built
from infra.workspace import Workspace
from models.catalog.entries import load_entry
from models.data import cached_path
from models.manifest import Signature
from models.preprocess.tfidf import describe

HOSTILE = [
    "",
    " ",
    "a",
    "I",
    "it's _under_score 3.14 x²",
    "İstanbul ŞIK ǅ ß ﬁne ſtop",
    "é é \u0301 naïve naïve",
    "日本語 文字列 かな",
    "zero\u200bwidth\u00a0no-break\u2028line\x00null\ttab",
    "😀 word😀word 👩‍👩‍👧 \ud800",
    "the the the THE The",
    "a" * 5000,
]
OPTIONS: list[dict[str, Any]] = [
    {"ngram_range": (1, 2)},
    {"lowercase": False, "ngram_range": (2, 3)},
    {"strip_accents": "unicode"},
    {"strip_accents": "ascii", "ngram_range": (1, 3)},
    {"stop_words": "english", "ngram_range": (1, 2)},
    {"token_pattern": r"(?u)\w+|[^\w\s]"},
    {"token_pattern": r"(\w)\w+"},
]
BASE = ["the film was a great film", "naive café naïve é x² it_s", "日本語 文字列 film", "a b c the I word"]


def serving(vectorizer: CountVectorizer, most: int = 1_000_000) -> Tfidf:
    encoding = describe(vectorizer, most)
    parameters = json.loads(json.dumps(encoding.parameters))  # as it comes out of a manifest
    return Tfidf(parameters, encoding.files, Signature((), ()))


def counted(vectorizer: CountVectorizer, text: str) -> dict[int, int]:
    row = CountVectorizer.transform(vectorizer, [text])
    return dict(zip(row.indices.tolist(), row.data.astype(int).tolist(), strict=True))


def test_terms_of_real_reviews_are_scikit_learn_s(sentiment: Built, sentiment_workspace: Workspace) -> None:
    path = cached_path(load_entry("sentiment").data["reviews"], sentiment_workspace.data)
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    chosen = random.Random(0).sample(texts, 4_000)
    vectorizer = CountVectorizer(ngram_range=(1, 2), max_features=20_000).fit(chosen[:2_000])
    served = serving(vectorizer)
    table = vectorizer.transform(chosen)
    for number, text in enumerate(chosen):
        row = table[number]
        assert served.count(text) == dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)), text


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_terms_of_hostile_text_are_scikit_learn_s(options: dict[str, Any]) -> None:
    vectorizer = TfidfVectorizer(**options).fit(BASE + [text for text in HOSTILE if text.isprintable()])
    served = serving(vectorizer)
    for text in HOSTILE + BASE:
        assert served.count(text) == counted(vectorizer, text), ascii(text)


@given(st.text() | st.lists(st.sampled_from([*" ".join(BASE).split(), "İ", "́", "_", "\n"])).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_text_has_scikit_learn_s_terms(text: str) -> None:
    for vectorizer, served in PAIRS:
        assert served.count(text) == counted(vectorizer, text)


PAIRS = [
    (v, serving(v))
    for v in (TfidfVectorizer(**options).fit([*BASE, "the thing and it"]) for options in OPTIONS)
]


def test_a_batch_is_padded_with_what_counts_nothing() -> None:
    vectorizer = CountVectorizer().fit(BASE)
    served = serving(vectorizer)
    texts = ["film film", "", " ".join(vectorizer.vocabulary_)]
    counts, ids = served([Tensor("text", "string", (3,), texts)])
    assert (counts.name, counts.dtype, counts.shape) == ("counts", "float32", (3, 64))
    assert (ids.name, ids.dtype, ids.shape) == ("ids", "int32", (3, 64))
    assert isinstance(ids.data, bytes)
    assert isinstance(counts.data, bytes)
    numbers, weights = memoryview(ids.data).cast("i").tolist(), memoryview(counts.data).cast("f").tolist()
    none = len(vectorizer.vocabulary_)
    assert Counter(numbers[:64])[none] == 63
    assert weights[:2] == [2.0, 0.0]
    assert set(numbers[64:128]) == {none}
    assert not any(weights[64:128])


def test_the_width_grows_by_doubling() -> None:
    words = [f"w{number}" for number in range(200)]
    served = serving(CountVectorizer().fit(words))
    assert served([Tensor("text", "string", (1,), [" ".join(words[:65])])])[0].shape == (1, 128)
    assert served([Tensor("text", "string", (1,), [" ".join(words)])])[0].shape == (1, 256)


def test_a_text_that_is_too_long_is_named() -> None:
    served = serving(CountVectorizer().fit(BASE), most=10)
    with pytest.raises(InputError, match="text 1 has 11 characters; at most 10 were expected"):
        served([Tensor("text", "string", (2,), ["x" * 10, "x" * 11])])


@pytest.mark.parametrize(
    ("vectorizer", "what"),
    [
        (TfidfVectorizer(analyzer="char"), "analyzer='char'"),
        (TfidfVectorizer(tokenizer=str.split, token_pattern=None), "its own tokenizer"),
        (TfidfVectorizer(preprocessor=str.upper), "its own preprocessor"),
    ],
)
def test_a_vectorizer_that_serving_can_t_repeat_is_refused(vectorizer: Any, what: str) -> None:
    vectorizer.fit(BASE)
    with pytest.raises(ValueError, match=what):
        describe(vectorizer, 100)
