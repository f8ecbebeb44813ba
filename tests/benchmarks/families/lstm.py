"""The LSTM of the sentiment model as it was published, token ids in, beside the Keras model it came from.

`python -m tests.benchmarks.families.lstm STATE FOLDER` writes what both are given: it needs TensorFlow.
"""

import sys
from pathlib import Path

from infra.pipeline import build
from infra.workspace import Workspace
from tests.benchmarks.families.case import Case, close_scores, command, made, write_tensors
from tests.benchmarks.part import Bench

NAME = "sentiment"
BATCHES = (1, 256)
ROWS = 320


def cases(bench: Bench) -> list[Case]:
    """The one, in the quantisation that was published."""
    workspace, folder = Workspace(bench.folder / "models"), bench.folder / "lstm"
    build(NAME, workspace)
    made(bench.root, __name__, workspace.root, folder)
    how = workspace.registry().manifest(NAME).quantization
    contestants = {
        f"Payphone ({how})": command("ours", folder),
        "Keras tf.function": command("keras", folder / "model.keras", folder / "rows.npy", *BATCHES),
    }
    return [Case("LSTM, sentiment", contestants, ("lstm_vs_keras",), BATCHES, close_scores)]


def main(state: Path, folder: Path) -> None:
    """Leave model.keras, rows.npy, model.tflite and calls.json in the folder."""
    import numpy as np

    from functions.inference import engine
    from functions.inference.codec import tensors_from_instances
    from models.catalog.entries import load_entry
    from models.manifest import MODEL_FILE

    folder.mkdir(parents=True, exist_ok=True)
    workspace, entry = Workspace(state), load_entry(NAME)
    registry = workspace.registry()
    manifest = registry.manifest(NAME)
    served = engine.load(manifest, lambda file: registry.read(manifest, file))
    trained = entry.trainer().load(entry, workspace.work / NAME / "trained")
    trained.source.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(registry.read(manifest, MODEL_FILE))
    (tokens,) = served.prepare(tensors_from_instances(trained.held_out[:ROWS], served.inputs))
    assert isinstance(tokens.data, bytes)
    rows = np.frombuffer(tokens.data, "int32").reshape(tokens.shape)
    np.save(folder / "rows.npy", rows)
    calls = {
        size: [
            [(tokens.name, "int32", [size, *rows.shape[1:]], rows[at : at + size].tobytes())]
            for at in range(0, ROWS - size + 1, size)
        ]
        for size in BATCHES
    }
    write_tensors(folder, calls)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
