"""What a function holds does not grow with its calls: memory, open files, connections."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from functions.inference.library import find_library
from layers import bundle
from tests.benchmarks import lambda_part, steady_part
from tests.benchmarks.lambda_event import proxy_event
from tests.benchmarks.part import ROOT

HANDLER = "functions.handlers.predict"


def test_memory_and_open_files_are_the_same_after_thousands_of_calls(
    sentiment, sentiment_workspace, tmp_path
):
    """`make bench` runs a hundred thousand."""
    place = sentiment_workspace.models / "sentiment" / sentiment.manifest.version
    body = json.dumps({"instances": ["A wonderful film.", "Far too long."]})
    with lambda_part.dynamodb(SimpleNamespace(folder=tmp_path, root=ROOT)) as aws:
        settings = {
            **aws,
            "PAYPHONE_MODEL": "sentiment",
            "PAYPHONE_STAGE": "test",
            "PAYPHONE_ARTIFACT": str(place),
            "PAYPHONE_LEDGER_TABLE": "ledger",
            "PAYPHONE_ACCESS_TABLE": "access",
            "PAYPHONE_LITERT_LIBRARY": find_library(),  # a function's Python has no site-packages to look in
        }
        for name in ("functions", "models"):
            (tmp_path / name).symlink_to(ROOT / name)
        script = tmp_path / bundle.START
        script.write_text(bundle.SCRIPT.format(client=bundle.CLIENTS[HANDLER], handler=HANDLER))
        script.chmod(0o755)
        event = proxy_event("/v1/models/sentiment/predict", body, encoded=True)
        function = lambda_part.Function("", HANDLER, str(tmp_path), settings, event, 0, str(script))
        early, _, late = steady_part.holds(Path(sys.executable), function, 5_000)
    assert late[1] == early[1]
    assert late[0] - early[0] < 1024  # kB; a leak of one small object a call would be as much
