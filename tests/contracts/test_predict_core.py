"""What runs on every call stays light: the standard library, our own modules, and not all of either."""

import json
import os
import subprocess
import sys

import pytest

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
    "typing",
    "ssl",
    "socket",
    "base64",
)


# What importing the deployed handler brings in, with its model loaded; raise these with a reason only.
MAX_OURS = 50
MAX_MODULES = 82


def imported_by(*modules, **environment):
    code = f"import sys; before = set(sys.modules); import {', '.join(modules)}; import json; " + (
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def deployed(sentiment, sentiment_workspace):
    """What the Lambda of a model imports when it starts; nothing answers at its endpoint."""
    folder = sentiment_workspace.models / "sentiment" / sentiment.manifest.version
    return imported_by(
        "functions.handlers.predict",
        PAYPHONE_MODEL="sentiment",
        PAYPHONE_ARTIFACT=str(folder),
        PAYPHONE_LEDGER_TABLE="ledger",
        PAYPHONE_ACCESS_TABLE="access",
        AWS_REGION="eu-west-1",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )


def test_the_handler_imports_the_standard_library_and_ours_only(deployed):
    roots = {name.partition(".")[0] for name in deployed}
    strangers = {r for r in roots if r not in sys.stdlib_module_names and r not in OURS}
    assert "functions" in roots
    assert strangers == set()


def test_the_handler_imports_little_and_nothing_slow(deployed):
    assert [name for name in deployed if name in SLOW] == []
    assert sum(name.partition(".")[0] in OURS for name in deployed) <= MAX_OURS
    assert len(deployed) <= MAX_MODULES


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
