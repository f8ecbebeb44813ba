"""scikit-learn's TfidfVectorizer, described for the kind "tfidf": what of it serving has to know."""

from __future__ import annotations

import json
from typing import Any

from models.trained import Encoding

VOCABULARY_FILE = "vocabulary.json"


def describe(vectorizer: Any, max_characters: int) -> Encoding:
    """The tokens, n-grams and vocabulary of a fitted vectorizer; its weighting goes into the graph.

    ValueError where it does not split text into words by a pattern.
    """
    custom = [name for name in ("preprocessor", "tokenizer") if getattr(vectorizer, name) is not None]
    if vectorizer.analyzer != "word" or custom or vectorizer.token_pattern is None:
        what = f"its own {custom[0]}" if custom else f"analyzer={vectorizer.analyzer!r}"
        raise ValueError(
            f"a vectorizer with {what} can't be served: use analyzer='word' with a token_pattern"
        )
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    parameters = {
        "lowercase": vectorizer.lowercase,
        "strip_accents": vectorizer.strip_accents,
        "token_pattern": vectorizer.token_pattern,
        "ngrams": list(vectorizer.ngram_range),
        "stop_words": sorted(vectorizer.get_stop_words() or ()),
        "max_characters": max_characters,
    }
    data = json.dumps(terms, ensure_ascii=False, separators=(",", ":")).encode()
    return Encoding("tfidf", parameters, {VOCABULARY_FILE: data})
