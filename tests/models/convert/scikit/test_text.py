"""TF-IDF and a linear model → LiteRT: the vocabulary outside the graph, the labels scikit-learn's."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import Tensor
from functions.preprocess.tfidf import Tfidf
from models.manifest import Signature
from models.preprocess.tfidf import describe


@pytest.mark.parametrize("case", ["text-svc", "text-logistic", "text-two"])
def test_labels_of_lines_are_the_source_s(folder: Path, texts: list[str], case: str) -> None:
    model = joblib.load(folder / f"{case}.joblib")
    vectorizer: TfidfVectorizer = model[0]
    encoding = describe(vectorizer, 10_000)
    encode = Tfidf(encoding.parameters, encoding.files, Signature((), ()))
    runtime = LiteRTModel((folder / f"{case}.tflite").read_bytes())
    (output,) = runtime.run("predict", encode([Tensor("text", "string", (len(texts),), texts)]))
    assert isinstance(output.data, bytes)
    found = np.frombuffer(output.data, "float32").reshape(output.shape)
    assert (model.classes_[found.argmax(axis=1)] == model.predict(texts)).all()
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(found, model.predict_proba(texts), atol=1e-6, rtol=0)
    else:
        np.testing.assert_allclose(found, model.decision_function(texts), atol=1e-5, rtol=0)
    (single,) = runtime.run("predict", encode([Tensor("text", "string", (1,), texts[:1])]))
    assert isinstance(single.data, bytes)
    np.testing.assert_allclose(np.frombuffer(single.data, "float32"), found[0], atol=1e-6, rtol=0)
