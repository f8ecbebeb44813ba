"""The layer of the model runtime: libLiteRt.so alone, at /opt/lib, where Lambda's loader looks.

The rest of ai-edge-litert (Python binding, compiler plugins, GPU accelerator) and numpy are not needed
by functions/inference and not in it. The library comes stripped and knows no Python, so one build per
CPU serves every version.

It links libstdc++.so.6, which the image of Python 3.12 and later (Amazon Linux 2023) has, so none is
shipped. Two limits, read from the library's symbol versions: on x86_64 it wants glibc 2.27, more than
the 2.26 under Lambda's Python 3.11; on arm64 it wants GLIBCXX_3.4.30, which Amazon Linux 2023 has had
since its release of spring 2025.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from layers.archive import Archive, write
from layers.wheels import WheelError, contents, fetch, locked

PACKAGE = "ai-edge-litert"
LIBRARY = "ai_edge_litert/libLiteRt.so"
LICENCE = "licenses/LICENSE"
OLDEST_PYTHON = "3.12"  # of Lambda, not of this library; and there are wheels of it to take it from


def build(folder: Path, machine: str) -> Archive:
    """Write `runtime-<machine>.zip` from the wheel that requirements/run.txt pins."""
    with tempfile.TemporaryDirectory() as downloads:
        files = contents(fetch(locked("run.txt", PACKAGE), OLDEST_PYTHON, machine, Path(downloads)))
    if LIBRARY not in files:
        raise WheelError(f"{PACKAGE} for {machine} has no {LIBRARY}: this release laid it out differently")
    licence = next(data for name, data in files.items() if name.endswith(LICENCE))
    chosen = {"lib/libLiteRt.so": files[LIBRARY], "lib/libLiteRt.LICENSE": licence}
    notes = ("arm64 has not run on AWS yet",) if machine == "arm64" else ()
    return write(f"runtime-{machine}", chosen, folder, notes)
