"""Build every model of the catalog, some side by side; what has not changed is not built again.

Each model is built in child processes of its own, so threads here only wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from infra.pipeline import BuildError, Built, build
from infra.progress import OnProgress, Progress
from infra.workspace import Workspace
from models.catalog.entries import load_entry
from models.data import FetchError, PackageFile

OnModel = Callable[[str, Progress], None]
"""Called with a model's name and how far one of its steps is."""


def build_all(
    names: Sequence[str], workspace: Workspace, on_model: OnModel, jobs: int
) -> tuple[dict[str, Built], dict[str, str]]:
    """Build these models, `jobs` at a time; gives the published versions, and why the others are missing."""
    built: dict[str, Built] = {}
    missing: dict[str, str] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = {pool.submit(build, name, workspace, _of(name, on_model)): name for name in names}
        for done in as_completed(waiting):
            name = waiting[done]
            try:
                built[name] = done.result()
            except (FetchError, BuildError) as error:
                missing[name] = str(error)
                on_model(name, Progress("publish", f"Missing: {error}", 1, 1, {}))
            else:
                if built[name].reused:
                    version = built[name].manifest.version
                    on_model(name, Progress("publish", f"Version {version} is still valid", 1, 1, {}))
    finally:
        pool.shutdown(cancel_futures=True)
    return {name: built[name] for name in names if name in built}, missing


def may_be_missing(name: str) -> bool:
    """Whether an entry's data lies at an address of its own, which not every network has a way to."""
    return any(not isinstance(source, PackageFile) for source in load_entry(name).data.values())


def _of(name: str, on_model: OnModel) -> OnProgress:
    return lambda progress: on_model(name, progress)
