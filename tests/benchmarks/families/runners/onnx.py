"""ONNX Runtime's contestant, on skl2onnx's conversion of the same estimator: label and probabilities.

python -m tests.benchmarks.families.runners.onnx MODEL.joblib ROWS.npy BATCH …, in its own environment
"""

import sys

import joblib
import numpy as np
import onnxruntime
from skl2onnx import to_onnx

from tests.benchmarks.families.runners.turns import rotating, serve


def main(path: str, rows_path: str, *batches: str) -> None:
    model, rows = joblib.load(path), np.load(rows_path).astype("float32")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    converted = to_onnx(model, rows[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    session = onnxruntime.InferenceSession(converted, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def call(part: object) -> object:
        return session.run(None, {name: part})

    given = {size: [rows[at : at + size] for at in range(len(rows) - size + 1)] for size in map(int, batches)}

    def answer() -> list[list[float]]:
        return session.run(None, {name: rows})[1].tolist()  # type: ignore[no-any-return]

    serve({size: rotating(call, parts) for size, parts in given.items()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
