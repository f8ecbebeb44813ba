"""Train → convert → prove → publish, as one function for the command line and the quickstart.

    data/            what was fetched, checked against the catalog's hashes
    work/<name>/     trained/ candidates/ artifact/ and examples.json
    logs/            what TensorFlow had to say
    models/          the registry

Nothing is done twice: a published version with the recipe that would be built now is given back,
and TensorFlow is never imported; a trained model whose recipe holds is converted again, not
trained again. Every folder in `work` appears whole by a rename, so whatever a crash leaves, the
next run goes on from the last step that was done. One build of a model at a time: a second waits.

TensorFlow runs in a child process (`infra/pipeline_child.py`): it takes seconds to import, is loud,
and takes its memory with it when it goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from infra.progress import OnProgress, Progress, from_line, under_way
from infra.workspace import Workspace
from models.catalog.entries import Entry, load_entry
from models.data import FetchError, PackageFile, fetch
from models.manifest import Manifest, ManifestError, from_json, verify
from models.recipe import artifact_recipe, training_recipe
from models.registry import Registry

ARTIFACT = "artifact"
EXAMPLES_FILE = "examples.json"
TRAINED_FILE = "trained/trained.json"
AUTO = "auto"


class BuildError(RuntimeError):
    """No version was published. `kind` names the step's own error, such as ParityError."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep the kind beside the message."""
        super().__init__(message)
        self.kind = kind


class Example(NamedTuple):
    """A held-out value, as a caller would send it, and its true label."""

    value: Any
    label: str


class Built(NamedTuple):
    """A published version. What training, conversion and proof gave is in `manifest.training`.

    `training` has `metric {name, value, rows}`, `references [{name, value, note}]`, `candidates
    [{quantization, bytes, rows, agreement, max_diff, passed, chosen}]`, `seconds {step: s}`,
    `data` and `facts`. `seconds` here is what this run took.
    """

    manifest: Manifest
    reused: bool
    examples: list[Example]
    seconds: float


def build(
    name: str,
    workspace: Workspace,
    on_progress: OnProgress = lambda progress: None,
    *,
    force: bool = False,
    quantization: str = AUTO,
) -> Built:
    """Build and publish a model of the catalog, or give the newest version if it is still valid.

    `force` trains anew and publishes whatever comes. `quantization` is "auto", the smallest
    candidate that passes its gate, or the name of one. Raises UnknownEntry, FetchError (no data)
    and BuildError. A new version is made live only if it is the model's first: promoting is the
    operator's decision.
    """
    started = time.monotonic()
    entry = load_entry(name)
    if quantization not in (AUTO, *entry.gates):
        known = ", ".join((AUTO, *entry.gates))
        raise BuildError(
            "ValueError", f"{name} has no gate for quantization {quantization!r} (it has: {known})"
        )
    recipe = artifact_recipe(entry, quantization)
    registry = workspace.registry()
    folder = workspace.work / name
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock") as lock:
        newest = None if force else _newest(registry, name, recipe)
        if newest is None or not (folder / EXAMPLES_FILE).exists():
            order: dict[str, Any] = {
                "name": name,
                "folder": str(folder.absolute()),
                "quantization": quantization,
                "training_recipe": training_recipe(entry),
                "recipe": recipe,
            }
            if force or not _is_trained(folder, order["training_recipe"]):
                order["data"] = _fetch_all(entry, workspace.data, on_progress)
            on_progress(under_way("train", "Starting TensorFlow", 0, 0))
            _run_child(order, workspace.logs / f"train-{name}.log", lock, on_progress)
            published = newest or _publish(registry, folder / ARTIFACT, on_progress)
        else:
            published = newest
        if registry.live(name) is None:  # a crash can come between publishing and making live
            registry.promote(name, published.version)
        examples = read_examples(folder / EXAMPLES_FILE)
    return Built(published, newest is not None, examples, time.monotonic() - started)


def read_examples(path: Path) -> list[Example]:
    """Held-out values with their true labels, for calls that need real input."""
    return [Example(**item) for item in json.loads(path.read_text("utf-8"))]


def _newest(registry: Registry, name: str, recipe: str) -> Manifest | None:
    """The newest version if it was made by this recipe and every file of it is intact."""
    versions = registry.versions(name)
    if not versions:
        return None
    try:
        manifest = registry.manifest(name, versions[-1])
        for ref in manifest.files:
            verify(ref, registry.read(manifest, ref.name))
    except (ManifestError, KeyError):
        return None
    return manifest if manifest.recipe == recipe else None


def _is_trained(folder: Path, recipe: str) -> bool:
    """Whether the trained model of an earlier run is the one this recipe would train."""
    record = folder / TRAINED_FILE
    return record.exists() and json.loads(record.read_text("utf-8"))["recipe"] == recipe


def _fetch_all(entry: Entry, cache: Path, on_progress: OnProgress) -> dict[str, str]:
    paths = {}
    for name, source in entry.data.items():

        def tell(done: int, total: int, title: str = source.title) -> None:
            on_progress(under_way("fetch", f"Fetching {title}", done, total))

        try:
            paths[name] = str(fetch(source, cache, tell).absolute())
        except FetchError as error:
            if isinstance(source, PackageFile):
                raise
            hint = f"`payphone model train {entry.name} --data {name}=FILE`"
            raise FetchError(f"{error}, which {hint} does with a copy that you have") from error
    sizes = {name: Path(path).stat().st_size for name, path in paths.items()}
    on_progress(Progress("fetch", "The training data is here, its hashes checked", 1, 1, {"bytes": sizes}))
    return paths


def _run_child(order: dict[str, Any], log: Path, lock: int, on_progress: OnProgress) -> None:
    """Let the child do what needs TensorFlow; it leaves the artifact in the model's work folder.

    The child shares the lock, so that one which outlives us keeps the next run waiting.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "infra.pipeline_child", json.dumps(order)]
    with log.open("w") as noise:
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            pass_fds=(lock,),
            cwd=Path(__file__).parent.parent,
        )
        failure = None
        try:
            assert child.stdout
            for line in child.stdout:
                progress = from_line(line)
                if progress.step == "failed":
                    failure = BuildError(progress.figures["kind"], progress.message)
                else:
                    on_progress(progress)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if failure:
        raise failure
    if code:
        last = next((line for line in reversed(log.read_text().splitlines()) if line.strip()), "nothing")
        raise BuildError(
            "ChildFailed", f"building {order['name']} ended with code {code}. See {log}; it ends: {last}"
        )


def _publish(registry: Registry, artifact: Path, on_progress: OnProgress) -> Manifest:
    draft = from_json((artifact / "manifest.json").read_bytes())
    files = {ref.name: (artifact / ref.name).read_bytes() for ref in draft.files}
    published = registry.publish(draft, files)
    figures = {"version": published.version, "bytes": published.model.size, "live": registry.live(draft.name)}
    message = f"{published.name} version {published.version} is in the registry"
    on_progress(Progress("publish", message, 1, 1, figures))
    return published


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
