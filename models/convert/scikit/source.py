"""scikit-learn estimators and Pipelines as a graph of TensorFlow ops that LiteRT has builtins for.

The graph takes "features", float32 [n, features], and gives a classifier's "scores" [n, classes],
or "decision" where the model has no probabilities, whose first largest is the label `predict` gives; or a
regressor's "values". A Pipeline of TfidfVectorizer and a linear model takes "ids" and "counts" instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
import tensorflow as tf
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from models.convert.scikit import text
from models.convert.scikit.kinds import predictor
from models.convert.scikit.text import VECTORIZER
from models.convert.scores import Outputs, Tensor
from models.convert.tflite import ConversionError, Graph

FEATURES = "features"


def graph(model: Any) -> Graph:
    """Trace `predict`; ConversionError names the step that can't be converted, and what could stand there."""
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ConversionError(
            f"{type(model).__name__} is not fitted: fit it before it is converted"
        ) from error
    if type(model).__name__ == "Pipeline" and type(model.steps[0][1]).__name__ == VECTORIZER:
        if len(model.steps) != 2:
            raise ConversionError("between TfidfVectorizer and a linear model no other step can be converted")
        return text.graph(model.steps[0][1], model.steps[1][1])
    return trace(predictor(model), int(model.n_features_in_))


def trace(predict: Any, features: int) -> Graph:
    """The graph of rows → outputs over float32 [n, features]."""
    spec = tf.TensorSpec([None, features], tf.float32, name=FEATURES)

    def called(features: Tensor) -> Outputs:
        return dict(predict(features))

    with np.errstate(over="ignore"):  # what float32 has no room for becomes infinite, as it should
        traced = tf.function(called, autograph=False).get_concrete_function(features=spec)
    return Graph(tf.Module(), {"predict": traced}, ())


def versions() -> dict[str, str]:
    """scikit-learn and TensorFlow."""
    return {"framework": "scikit-learn", "scikit-learn": sklearn.__version__, "tensorflow": tf.__version__}
