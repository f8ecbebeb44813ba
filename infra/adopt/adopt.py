"""Publish a brought file, or say why not.

Nothing of the file is loaded here. Its kind is told by its first bytes; a child process
(`infra/adopt/child.py`) opens, converts and proves it, and if that dies, this says so.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any, NamedTuple

from infra import openmp
from infra.adopt.file_kinds import AdoptError, kind_of
from infra.progress import OnProgress, Progress
from infra.workspace import Workspace
from models.manifest import MANIFEST_FILE, Manifest, from_json

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SECONDS = 900
WITHOUT_SAMPLE = ("float32",)
WITH_SAMPLE = ("float32", "float16", "dynamic-int8")


class Adopted(NamedTuple):
    """The published version, whether it is live, what was noted, and a request that it answers."""

    manifest: Manifest
    live: bool
    notes: list[str]
    request: dict[str, Any]


def adopt(
    path: Path,
    name: str,
    place: Workspace,
    on_progress: OnProgress = lambda progress: None,
    *,
    labels: Sequence[str] = (),
    sample: Path | None = None,
    signature: str | None = None,
    raw: bool = False,
    trust: bool = False,
    licence: str = "not stated",
) -> Adopted:
    """Publish the model at `path` as `name`; AdoptError says why not.

    `trust` vouches for a file that runs code when it is opened. `raw` leaves quantised tensors as
    they are. Without a `sample` no weights are quantised: made-up rows can't show what that costs.
    """
    if not NAME.fullmatch(name):
        raise AdoptError(
            f"{name!r} can't be a model's name: a lower-case letter, then letters, digits, - or _"
        )
    kind = kind_of(path)
    if sample is not None and not sample.is_file():
        raise AdoptError(f"{sample} can't be read: a file of rows was expected (.csv, .jsonl)")
    if len(set(labels)) < len(labels) or not all(labels):
        raise AdoptError(f"the labels {', '.join(map(repr, labels))} are not all different, or one is empty")
    if kind == "pickle" and not trust:
        raise AdoptError(
            f"{path.name} is a pickle, and opening one runs whatever code its maker put into it. "
            "If you made it yourself or trust who did, add --trust"
        )
    with TemporaryDirectory() as temporary:
        order = {
            "path": str(path.absolute()),
            "kind": kind,
            "folder": temporary,
            "name": name,
            "labels": list(labels),
            "sample": None if sample is None else str(sample.absolute()),
            "signature": signature,
            "raw": raw,
            "trust": trust,
            "licence": licence,
            "quantizations": WITH_SAMPLE if sample else WITHOUT_SAMPLE,
        }
        notes = _run_child(order, place.logs / f"add-{name}.log", on_progress)
        artifact = Path(temporary) / "artifact"
        draft = from_json((artifact / MANIFEST_FILE).read_bytes())
        registry = place.registry()
        files = {ref.name: (artifact / ref.name).read_bytes() for ref in draft.files}
        manifest = registry.publish(draft, files)
        on_progress(Progress("publish", f"{name} version {manifest.version} is in the registry", 1, 1, {}))
        request = json.loads((Path(temporary) / "request.json").read_text("utf-8"))
    return Adopted(manifest, registry.live(name) == manifest.version, notes, request)


def _run_child(order: dict[str, Any], log: Path, on_progress: OnProgress) -> list[str]:
    """Let the child do it; gives its notes."""
    name = Path(order["path"]).name
    log.parent.mkdir(parents=True, exist_ok=True)
    answer: dict[str, Any] = {}
    with log.open("w") as noise:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.adopt.child"],
            stdin=subprocess.PIPE,  # an order may name more labels than an argument may be long
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            cwd=Path(__file__).parents[2],
            env=openmp.environment(Path(order["folder"]) / "openmp"),
        )
        stop = Timer(SECONDS, child.kill)
        stop.start()
        try:
            assert child.stdin
            assert child.stdout
            with contextlib.suppress(BrokenPipeError):  # it died before it read; its log says why
                child.stdin.write(json.dumps(order))
                child.stdin.close()
            for line in child.stdout:
                said = json.loads(line)
                if "step" in said:
                    on_progress(Progress(**said))
                else:
                    answer = said
            child.wait()
        finally:
            out_of_time = not stop.is_alive()
            stop.cancel()
            child.kill()
            child.wait()
    if child.returncode < 0 and out_of_time:
        raise AdoptError(f"{name} was not done within {SECONDS} s. See {log}")
    if child.returncode < 0:
        cause = signal.Signals(-child.returncode).name
        raise AdoptError(
            f"{name} crashed the process that looked at it ({cause}); nothing else was touched. It is "
            "damaged, made for another runtime, or needs more memory than there is: convert it again. "
            f"See {log}"
        )
    if "refused" in answer:
        raise AdoptError(f"{name}: {answer['refused']}")
    if child.returncode or "notes" not in answer:
        last = next((line for line in reversed(log.read_text().splitlines()) if line.strip()), "nothing")
        raise AdoptError(f"{name} can't be opened. See {log}; it ends: {last}")
    return list(answer["notes"])
