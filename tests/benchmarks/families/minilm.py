"""MiniLM as dynamic int8, one sentence a call, beside PyTorch eager on one thread with the same weights.

Token ids go into both. The sentences are film reviews', of 10 to 60 tokens; the batch is 16 of them.
"""

import json
from pathlib import Path

from infra.pipeline import build
from infra.workspace import Workspace
from tests.benchmarks.families.case import Case, command, cosine, write_tensors
from tests.benchmarks.families.runners.exchange import answers
from tests.benchmarks.part import Bench

NAME, QUANTIZATION = "embed", "dynamic-int8"
SENTENCES, BATCH = 48, 16


def cases(bench: Bench) -> list[Case]:
    """The one; its size and the least cosine to PyTorch's vectors are figures too."""
    from functions.inference import engine
    from functions.inference.codec import tensors_from_instances
    from models.manifest import MODEL_FILE

    workspace, folder = Workspace(bench.folder / "models"), bench.folder / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    build(NAME, workspace, quantization=QUANTIZATION)
    registry, work = workspace.registry(), workspace.work / NAME / "trained"
    manifest = registry.manifest(NAME)
    served = engine.load(manifest, lambda file: registry.read(manifest, file))
    model = registry.read(manifest, MODEL_FILE)
    (folder / "model.tflite").write_bytes(model)
    texts = json.loads((work / "held_out.json").read_text("utf-8"))[:SENTENCES]
    calls = {}
    for size in (1, BATCH):
        parts = (texts[at : at + size] for at in range(0, SENTENCES, size))
        prepared = (served.prepare(tensors_from_instances(part, served.inputs)) for part in parts)
        calls[size] = [
            [(t.name, t.dtype, list(t.shape), bytes(t.data)) for t in tensors] for tensors in prepared
        ]  # type: ignore[arg-type]
    served.close()
    write_tensors(folder, calls)
    peer = bench.environment("bench-torch")
    contestants = {
        f"Payphone ({manifest.quantization})": command("ours", folder),
        "PyTorch eager": command(
            "torch_minilm", work / "model.safetensors", folder / "calls.json", python=peer
        ),
    }
    ours, theirs = (answers(line, Path(bench.root)) for line in contestants.values())
    more: dict[str, float | str] = {"minilm_mb": len(model) / 1e6, "minilm_cosine": cosine(ours, theirs)}
    return [Case("MiniLM, sentence vectors", contestants, ("minilm_vs_torch",), (1, BATCH), _near, more)]


def _near(ours: list[list[float]], theirs: list[list[float]]) -> str:
    least = cosine(ours, theirs)
    return "" if least > 0.9 else f"the vectors' least cosine is {least:.3f}"
