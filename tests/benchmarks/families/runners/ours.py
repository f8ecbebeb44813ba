"""Payphone's contestant: the binding that serves a call, on tensors as preprocessing leaves them.

python -m tests.benchmarks.families.runners.ours FOLDER, with model.tflite and calls.json in it
"""

import json
import sys
from pathlib import Path

from functions.inference.engine import PREDICT, open_graph
from functions.preprocess.tensors import ELEMENT, Tensor
from tests.benchmarks.families.runners.turns import rotating, serve


def main(folder: Path) -> None:
    model = open_graph((folder / "model.tflite").read_bytes())
    spec = json.loads((folder / "calls.json").read_text())
    calls = {
        int(batch): [
            [Tensor(name, kind, tuple(shape), bytes.fromhex(data)) for name, kind, shape, data in call]
            for call in given
        ]
        for batch, given in spec.items()
    }

    def answer() -> list[list[float]]:
        rows: list[list[float]] = []
        for call in calls[1]:
            first = model.run(PREDICT, call)[0]
            assert isinstance(first.data, bytes)
            rows.append(memoryview(first.data).cast(ELEMENT[first.dtype][0]).tolist())
        return rows

    serve({batch: rotating(model.run, given, PREDICT) for batch, given in calls.items()}, answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
