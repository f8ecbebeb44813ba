"""The quickstart, as a newcomer runs it a second time: its figures, its key, and what it leaves alone."""

import json
import shutil
import subprocess
import sys


def quickstart(state):
    command = [sys.executable, "-c", "from infra.cli.main import app; app()", "--state", str(state)]
    done = subprocess.run([*command, "quickstart", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_what_was_answered_was_billed(sentiment, sentiment_workspace, tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for folder in ("models", "work", "data"):
        shutil.copytree(sentiment_workspace.root / folder, state / folder)
    first = quickstart(state)
    assert first["accuracy"] >= 0.82
    assert first["parity"]["rows"] >= 2000
    assert first["calls_answered"] == first["calls_billed"] == 15
    assert (first["calls_refused"], first["calls_replayed"]) == (4, 1)
    assert (first["invoice_total"], first["currency"]) == ("0.03", "USD")
    assert first["model_bytes"] == sentiment.manifest.model.size
    second = quickstart(state)
    assert second["calls_billed"] == 15
    assert second["invoice_total"] == "0.06"
