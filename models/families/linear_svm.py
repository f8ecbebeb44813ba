"""Linear SVM on the words and word pairs of a text, weighted by rarity (TF-IDF).

Parameters: `ngrams` [least, most], `min_documents` a term has to stand in, `max_terms`, `c` of
LinearSVC and `seed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on texts and class numbers; there is nothing that validation could stop."""
    vectorizer = TfidfVectorizer(
        ngram_range=tuple(parameters["ngrams"]),
        min_df=parameters["min_documents"],
        max_features=parameters["max_terms"],
        sublinear_tf=True,
    )
    model = make_pipeline(vectorizer, LinearSVC(C=parameters["c"], random_state=parameters["seed"]))
    tell("Counting terms and fitting the weights", 0, 0)
    model.fit(train.inputs, train.targets)
    return Fitted(model, {"terms": len(vectorizer.vocabulary_)})
