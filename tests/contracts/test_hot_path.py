"""What a call's Lambda imports: one more module of the standard library is a decision, made here.

Each costs every cold start of every model 0.2 to 5 ms; `make bench` says how much they are together.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

from layers.bundle import CLIENTS

ROOT = Path(__file__).resolve().parents[2]
HANDLER = "functions.handlers.predict"
CLIENT = CLIENTS[HANDLER]
OURS = ("functions", "models")
MOST_OF_OURS = 48
MOST_OF_ALL = 80
# Top-level modules beyond those that Python has imported when it starts without `site`.
ALLOWED = {
    *("array", "binascii", "ctypes", "gc", "itertools", "math", "mmap", "resource", "struct"),
    *("genericpath", "os", "posixpath", "stat"),
    *("collections", "keyword", "operator", "reprlib"),  # by `array`
    "types",  # by `ctypes`
}


def file_of(module):
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def imports_of(module):
    """What a module of ours imports when it is imported, ours only."""
    for node in ast.parse(file_of(module).read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            yield node.module
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in inside if file_of(name).exists())


def imported():
    """Modules that importing the runtime client and the handler's parts adds to a bare Python."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules); "
        f"import {', '.join([CLIENT, *imports_of(HANDLER)])}; "
        "after = set(sys.modules); import json; print(json.dumps(sorted(after - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_handler_imports_of_the_standard_library_what_is_listed_here():
    roots = {name.partition(".")[0] for name in imported()} - set(OURS)
    public = {name for name in roots if not name.startswith("_")}
    assert public - ALLOWED == set()
    assert public <= sys.stdlib_module_names


def test_the_handler_imports_no_more_of_ours_than_it_needs():
    ours = [name for name in imported() if name.partition(".")[0] in OURS]
    assert len(ours) <= MOST_OF_OURS, ours
    assert len(imported()) <= MOST_OF_ALL, imported()
    strangers = ("functions.api", "functions.billing", "functions.local", "models.store", "models.registry")
    assert [name for name in ours if name.startswith(strangers)] == []
