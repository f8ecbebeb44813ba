"""Build the whole catalog and say what came of it: `python -m infra.catalog`, or `make catalog`.

Models are built side by side, each in its own child processes; what has not changed is not built
again. Then every model is timed alone. Progress goes to standard error; the last line on standard
output is one line of JSON, a list with an object for each model:

    name family metric value reference rows agreement max_diff bytes quantization p50_us source_p50_us

`p50_us` is the serving code from tensors to tensors, preprocessing included, for one instance;
`source_p50_us` the source framework's own call for the same instance. Both are medians in µs.

A model whose data can't be had is named with the reason, and left out. That is a failure (exit code 1)
unless the data lies at an address of its own and not in a package index.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from infra.pipeline import BuildError, Built, build
from infra.progress import OnProgress, Progress
from infra.workspace import Workspace
from models.catalog.entries import CATALOG, load_entry
from models.data import FetchError, PackageFile

AT_A_TIME = 2  # frameworks use several cores themselves


def build_all(
    names: Sequence[str], workspace: Workspace, on_progress: OnProgress
) -> tuple[dict[str, Built], dict[str, str]]:
    """Build these models; gives the published versions, and the reasons of those that are missing."""
    built: dict[str, Built] = {}
    missing: dict[str, str] = {}
    with ThreadPoolExecutor(min(AT_A_TIME, os.cpu_count() or 1)) as pool:
        waiting = {pool.submit(build, name, workspace, _titled(name, on_progress)): name for name in names}
        for done in as_completed(waiting):
            try:
                built[waiting[done]] = done.result()
            except (FetchError, BuildError) as error:
                missing[waiting[done]] = str(error)
    return {name: built[name] for name in names if name in built}, missing


def figures(built: Built, seconds: dict[str, float]) -> dict[str, Any]:
    """One model's line of the report; `seconds` has the medians "served" and "source"."""
    manifest = built.manifest
    metric, parity = manifest.training["metric"], manifest.parity
    return {
        "name": manifest.name,
        "family": manifest.family,
        "metric": metric["name"],
        "value": metric["value"],
        "reference": [item["value"] for item in manifest.training["references"]],
        "rows": parity.rows,
        "agreement": parity.agreement,
        "max_diff": parity.max_diff,
        "bytes": manifest.model.size,
        "quantization": manifest.quantization,
        "p50_us": round(seconds["served"] * 1e6, 1),
        "source_p50_us": round(seconds["source"] * 1e6, 1),
    }


def time_alone(built: Built, workspace: Workspace) -> dict[str, float]:
    """Median seconds of one instance, served and by the source, in a process of its own."""
    name, version = built.manifest.name, built.manifest.version
    order = {
        "name": name,
        "version": version,
        "root": str(workspace.root.absolute()),
        "values": [example.value for example in built.examples],
    }
    log = workspace.logs / f"time-{name}.log"
    with log.open("w") as noise:
        timed = subprocess.run(
            [sys.executable, "-m", "infra.catalog_child"],
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            check=False,
            cwd=Path(__file__).parent.parent,
        )
    if timed.returncode:
        raise BuildError("ChildFailed", f"timing {name} ended with code {timed.returncode}. See {log}")
    return dict(json.loads(timed.stdout))


def main(root: Path) -> int:
    """Build, time and report everything; the exit code is 0 if nothing is missing that should be there."""

    def tell(progress: Progress) -> None:
        if progress.finished:
            print(f"{progress.step:<8} {progress.message}", file=sys.stderr, flush=True)  # noqa: T201

    workspace = Workspace(root)
    built, missing = build_all(sorted(CATALOG), workspace, tell)
    report = [figures(item, time_alone(item, workspace)) for item in built.values()]
    for name, reason in missing.items():
        print(f"{name} is missing: {reason}", file=sys.stderr)  # noqa: T201
    print(json.dumps(report))  # noqa: T201
    return int(any(not _may_be_missing(name) for name in missing))


def _may_be_missing(name: str) -> bool:
    return any(not isinstance(source, PackageFile) for source in load_entry(name).data.values())


def _titled(name: str, on_progress: OnProgress) -> OnProgress:
    return lambda progress: on_progress(progress._replace(message=f"{name}: {progress.message}"))


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("PAYPHONE_STATE", ".payphone"))))
