"""scikit-learn's contestant: probabilities where the estimator has them, else its decision or prediction.

python -m tests.benchmarks.families.runners.scikit MODEL.joblib ROWS.npy BATCH …
"""

import sys

import joblib
import numpy as np

from tests.benchmarks.families.runners.turns import rotating, serve


def main(path: str, rows_path: str, *batches: str) -> None:
    model, rows = joblib.load(path), np.load(rows_path).astype("float64")
    names = ("predict_proba", "decision_function", "predict")
    call = getattr(model, next(name for name in names if hasattr(model, name)))

    def answer() -> list[list[float]]:
        found = np.asarray(call(rows))
        if found.ndim == 1 and hasattr(model, "decision_function") and not hasattr(model, "predict_proba"):
            found = np.stack([-found, found], axis=1)
        return found.reshape(len(rows), -1).tolist()  # type: ignore[no-any-return]

    given = {size: [rows[at : at + size] for at in range(len(rows) - size + 1)] for size in map(int, batches)}
    serve({size: rotating(call, parts) for size, parts in given.items()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
