"""Bytecode compiled ahead, as /opt and /var/task are read-only: without it each cold start compiles anew.

It is marked unchecked-hash, so Python takes it without a look at the source, whose time a zip does not
keep. Only the Python version a function runs on can compile for it; the CPU does not matter.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


@functools.cache
def interpreter(python: str) -> str | None:
    """An interpreter of version `python` ("3.12") on this machine, or None."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = sys.executable if python == own else shutil.which(f"python{python}")
    if found is None:
        return None
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([found, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
    return found if answer.stdout.strip() == python else None


def compiled(files: Mapping[str, bytes], python: str, place: str) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """`files` and the bytecode of their modules, and a note if this machine can't make any.

    `place` is the folder they will lie in ("/var/task"): tracebacks name it, whatever folder they were
    compiled in, and so the same source gives the same bytes.
    """
    tool = interpreter(python)
    if tool is None:
        note = f"no bytecode: Python {python} is not on this machine, so cold starts will compile the source"
        return dict(files), (note,)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inside, data in files.items():
            if inside.endswith(".py"):
                path = folder / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        command = [tool, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        done = subprocess.run(  # noqa: S603
            [*command, "-s", name, "-p", place, name],
            env=os.environ | {"PYTHONHASHSEED": "0"},  # the order of a set's constants depends on it
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SyntaxError(
                f"Python {python} can't compile what goes into the zip:\n{done.stdout}{done.stderr}"
            )
        made = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.pyc")}
    return {**files, **made}, ()
