"""What a peer runs: the same .tflite under the stock Interpreter, which one thread at a time may use."""

import os
from threading import Lock

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # halves what numpy takes to import

import numpy as np
from ai_edge_litert.interpreter import Interpreter

LABELS = ("setosa", "versicolor", "virginica")
_interpreter = Interpreter(model_path=os.environ["BENCH_MODEL"], num_threads=1)
_interpreter.allocate_tensors()
_input = _interpreter.get_input_details()[0]["index"]
_output = _interpreter.get_output_details()[0]["index"]
_lock = Lock()


def predict(row):
    """The label of one row and the three probabilities."""
    with _lock:
        _interpreter.set_tensor(_input, np.array([row], np.float32))
        _interpreter.invoke()
        scores = _interpreter.get_tensor(_output)[0].tolist()
    return {
        "label": LABELS[scores.index(max(scores))],
        "probabilities": dict(zip(LABELS, scores, strict=True)),
    }
