"""What runs on every call stays light: the standard library, our own modules, and not all of either."""

import json
import subprocess
import sys

CORE = ["functions.calls.core", "functions.inference.engine"]
OURS = ("functions", "models")
# Modules that cost a cold start more than all of ours together.
SLOW = (
    "dataclasses",
    "inspect",
    "pathlib",
    "asyncio",
    "urllib.request",
    "http.client",
    "email",
    "sqlite3",
    "tempfile",
)


def imported_by(*modules):
    code = f"import sys; before = set(sys.modules); import {', '.join(modules)}; import json; " + (
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_core_imports_the_standard_library_and_ours_only():
    roots = {name.partition(".")[0] for name in imported_by(*CORE)}
    strangers = {r for r in roots if r not in sys.stdlib_module_names and r not in OURS}
    assert strangers == set()


def test_the_core_imports_nothing_slow():
    assert [name for name in imported_by(*CORE) if name in SLOW] == []


def test_the_core_does_not_know_where_it_runs():
    ours = [name for name in imported_by(*CORE) if name.partition(".")[0] in OURS]
    layers = ("functions.local", "functions.handlers", "functions.api", "functions.billing", "models.store")
    assert [name for name in ours if name.startswith(layers)] == []
