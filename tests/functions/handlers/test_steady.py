"""What a function holds does not grow with its calls: memory, open files, connections."""

import json
import sys
from types import SimpleNamespace

from tests.benchmarks import lambda_part, steady_part
from tests.benchmarks.lambda_event import proxy_event
from tests.benchmarks.part import ROOT


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
        }
        event = proxy_event("/v1/models/sentiment/predict", body, encoded=True)
        function = lambda_part.Function("", "", str(ROOT), settings, event, 0)
        early, _, late = steady_part.holds(sys.executable, function, 5_000)
    assert late[1] == early[1]
    assert late[0] - early[0] < 1024  # kB; a leak of one small object a call would be as much
