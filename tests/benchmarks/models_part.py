"""Models: each family beside what it was converted from, and beside ONNX Runtime where that is usual.

A family is one file in `families/` and one entry in FAMILIES. It runs in a process of its own and writes
microseconds a call, by contestant and round, ours first.
"""

import json
import subprocess
import sys
from statistics import median
from typing import NamedTuple

from infra.pipeline import build
from infra.workspace import Workspace
from tests.benchmarks.part import Bench, Part, Table

ROUNDS = {"quick": 3, "full": 15}


class Family(NamedTuple):
    """`module` is its file in families/, `model` the catalog's, `figures` by contestant, in their order."""

    module: str
    model: str
    figures: tuple[str, ...]


FAMILIES = {"LSTM, sentiment, one review": Family("lstm", "sentiment", ("lstm_vs_keras",))}
# What the budget asks for and the catalog does not have yet.
MISSING = {
    "forest_vs_sklearn": "there is no forest in the catalog yet",
    "forest_vs_onnxruntime": "there is no forest in the catalog yet",
    "minilm_vs_torch": "there is no sentence encoder in the catalog yet",
}


FIGURES = (*MISSING, *(figure for family in FAMILIES.values() for figure in family.figures))


def measure(bench: Bench) -> Part:
    """Every family; how many times faster ours is, medians over rounds."""
    figures: dict[str, float | str] = dict(MISSING)
    rows = []
    workspace = Workspace(bench.folder / "models")
    for title, family in FAMILIES.items():
        bench.step(f"{family.model}: training it, if that was not done yet")
        build(family.model, workspace)
        bench.step(title)
        times = _run(bench, family, workspace)
        ours, *others = times
        rows.append((title, ours, f"{median(times[ours]):,.1f}", ""))
        for other, name in zip(others, family.figures, strict=True):
            ratio = median(theirs / mine for theirs, mine in zip(times[other], times[ours], strict=True))
            rows.append((title, other, f"{median(times[other]):,.1f}", f"{ratio:.1f}"))
            figures[name] = ratio
    columns = ("model", "runtime", "a call, CPU µs", "Payphone is faster ×")
    return Part([Table("Models, one row a call, one thread", columns, rows)], figures)


def _run(bench: Bench, family: Family, workspace: Workspace) -> dict[str, list[float]]:
    module = f"tests.benchmarks.families.{family.module}"
    rounds = str(ROUNDS["quick" if bench.quick else "full"])
    command = [sys.executable, "-m", module, str(workspace.root), rounds]
    done = subprocess.run(command, cwd=bench.root, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr[-3000:]}")
    times: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return times
