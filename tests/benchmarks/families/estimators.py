"""Estimators of scikit-learn on its bundled data, beside it, and the forest beside ONNX Runtime too.

`python -m tests.benchmarks.families.estimators FOLDER` fits and converts them: it needs TensorFlow.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.families.case import Case, command, made, same_scores, write_tensors
from tests.benchmarks.part import Bench

BATCHES = (1, 256)
ROWS = 300  # held out, which take turns
# Title → file, and what the ratio to scikit-learn is called where there is a budget for it.
CASES: dict[str, tuple[str, str | None]] = {
    "random forest of 100 trees, digits": ("forest", "forest_vs_sklearn"),
    "RBF SVC on scaled columns, diagnosis": ("svc", "svc_vs_sklearn"),
    "logistic regression on scaled columns, diagnosis": ("linear", "linear_vs_sklearn"),
    "decision tree, digits": ("tree", None),
    "gradient boosting of 100 trees, diagnosis": ("boosting", None),
    "histogram gradient boosting, diagnosis": ("histogram", None),
    "calibrated linear SVC, digits": ("calibrated", None),
    "5 nearest neighbours, digits": ("neighbours", None),
    "Gaussian naive Bayes, digits": ("bayes", None),
    "perceptron of 64 units, digits": ("network", None),
}


def cases(bench: Bench) -> list[Case]:
    """One a fitted estimator."""
    folder = bench.folder / "estimators"
    made(bench.root, __name__, folder)
    found = []
    for title, (name, figure) in CASES.items():
        given = (folder / name / "model.joblib", folder / name / "rows.npy", *BATCHES)
        contestants = {
            "Payphone": command("ours", folder / name),
            "scikit-learn": command("scikit", *given),
        }
        figures = [figure]
        if name == "forest":
            peer = bench.environment("bench-models")
            contestants["ONNX Runtime"] = command("onnx", *given, python=peer)
            figures.append("forest_vs_onnxruntime")
        found.append(Case(title, contestants, tuple(figures), BATCHES, same_scores))
    return found


def main(folder: Path) -> None:
    """Leave model.joblib, rows.npy, model.tflite and calls.json of each in a folder of its name."""
    import joblib
    import numpy as np
    from sklearn.datasets import load_breast_cancer, load_digits

    from models.convert import tflite
    from models.convert.kinds import source
    from models.quantize import QUANTIZATIONS

    data: dict[str, Any] = {
        "digits": load_digits(return_X_y=True),
        "diagnosis": load_breast_cancer(return_X_y=True),
    }
    for title, (name, _) in CASES.items():
        rows, labels = data[title.rpartition(", ")[2]]
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        model = _estimators()[name].fit(rows[::2], labels[::2])
        held_out = np.tile(rows[1::2], (2, 1))[:ROWS].astype("float32")
        joblib.dump(model, own / "model.joblib")
        np.save(own / "rows.npy", held_out)
        graph = source("scikit-learn").graph(model)
        with TemporaryDirectory() as saved:
            tflite.save(graph, Path(saved))
            written = tflite.write(graph, Path(saved), QUANTIZATIONS["float32"])
        (own / "model.tflite").write_bytes(written)
        calls = {
            size: [
                [("features", "float32", [size, held_out.shape[1]], held_out[at : at + size].tobytes())]
                for at in range(0, len(held_out) - size + 1, 1 if size == 1 else size)
            ]
            for size in BATCHES
        }
        write_tensors(own, calls)


def _estimators() -> dict[str, Any]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    return {
        "forest": RandomForestClassifier(100, random_state=0),
        "svc": make_pipeline(StandardScaler(), SVC()),
        "linear": make_pipeline(StandardScaler(), LogisticRegression()),
        "tree": DecisionTreeClassifier(random_state=0),
        "boosting": GradientBoostingClassifier(random_state=0),
        "histogram": HistGradientBoostingClassifier(),
        "calibrated": CalibratedClassifierCV(LinearSVC(), cv=3),
        "neighbours": KNeighborsClassifier(),
        "bayes": GaussianNB(var_smoothing=1e-3),
        "network": make_pipeline(StandardScaler(), MLPClassifier((64,), random_state=0)),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
