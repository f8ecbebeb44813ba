"""How long a published model takes for one instance beside its source: measured once a version, alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from infra.pipeline import BuildError, Built
from infra.workspace import Workspace

TIMING_FILE = "timing.json"


class Timing(NamedTuple):
    """Median seconds of one instance: `served` by the serving code from tensors to tensors, preprocessing
    included, and by one compiled call of the `source` framework, its preprocessing included too.
    """

    served: float
    source: float


def time_alone(built: Built, workspace: Workspace, *, again: bool = False) -> Timing:
    """The timing of a version: from its work folder, or measured in a process of its own."""
    manifest = built.manifest
    kept = workspace.work / manifest.name / TIMING_FILE
    mark = {"version": manifest.version, "recipe": manifest.recipe}
    if not again and kept.exists():
        known = json.loads(kept.read_text("utf-8"))
        if known["of"] == mark:
            return Timing(**known["seconds"])
    order = {
        "name": manifest.name,
        "version": manifest.version,
        "root": str(workspace.root.absolute()),
        "values": [example.value for example in built.examples],
    }
    log = workspace.logs / f"time-{manifest.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as noise:
        timed = subprocess.run(
            [sys.executable, "-m", "infra.catalog.timing_child"],
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    if timed.returncode:
        raise BuildError(
            "ChildFailed", f"timing {manifest.name} ended with code {timed.returncode}. See {log}"
        )
    timing = Timing(**json.loads(timed.stdout))
    kept.write_text(json.dumps({"of": mark, "seconds": timing._asdict()}), "utf-8")
    return timing
