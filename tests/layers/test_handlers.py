"""Each handler imports, and the one on the hot path answers, with its zip and its layers and nothing else."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from infra.pack import HANDLERS
from layers import bundle, model
from tests.benchmarks import lambda_part
from tests.benchmarks.lambda_event import proxy_event
from tests.benchmarks.part import ROOT

# Everything a function could be told; the network leads nowhere.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-real-secret",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_REGION": "eu-west-1",
    "PAYPHONE_STAGE": "test",
    "PAYPHONE_MODEL": "sentiment",
    "PAYPHONE_MODELS": "sentiment",
    "PAYPHONE_LEDGER_TABLE": "ledger",
    "PAYPHONE_ACCESS_TABLE": "access",
    "PAYPHONE_ACCOUNTS_TABLE": "accounts",
    "PAYPHONE_WEBHOOKS_TABLE": "webhooks",
    "PAYPHONE_ISSUER": "Payphone",
    "PAYPHONE_ARCHIVE_BUCKET": "archive",
    "PAYPHONE_MODELS_BUCKET": "models",
    "PAYPHONE_SEALING_KEY": "arn:aws:kms:eu-west-1:000000000000:key/0",
}
SCRIPT = """
import json, sys
standard = list(sys.path)
sys.path[:0] = sys.argv[2:]
__import__(f"functions.handlers.{sys.argv[1]}")
files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
found = {name: file for name, file in files.items() if file and not file.startswith(tuple(standard))}
print(json.dumps({"standard": standard, "found": found}))
"""
CALL = """
import json, sys
sys.path[:0] = sys.argv[1:]
from functions.handlers.predict import handler
print(json.dumps([handler(event, None) for event in json.load(sys.stdin)]))
"""


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_imports_from_its_zip_and_its_layers_alone(
    name, tmp_path, python, unpack, web_layer, runtime_layer, sentiment, sentiment_workspace
):
    task = unpack(bundle.build(f"functions.handlers.{name}", tmp_path, python)).rename(tmp_path / "task")
    registry = sentiment_workspace.registry()
    packed = model.build(registry, "sentiment", sentiment.manifest.version, tmp_path)
    opt = unpack(*([runtime_layer, packed] if name == "predict" else [web_layer])).rename(tmp_path / "opt")
    told = {
        **ENVIRONMENT,
        "PAYPHONE_ARTIFACT": str(opt / "payphone" / "sentiment"),
        "PAYPHONE_LITERT_LIBRARY": str(opt / "lib" / "libLiteRt.so"),
    }
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, name, str(task), str(opt / "python")]
    done = subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert not [path for path in seen["standard"] if "site-packages" in path]
    outside = {file for file in seen["found"].values() if not file.startswith((str(task), str(opt)))}
    assert outside == set()
    assert seen["found"][f"functions.handlers.{name}"].startswith(str(task))
    assert any("fastapi" in file for file in seen["found"].values()) == (name == "control")


def test_calls_are_answered_as_deployed(
    tmp_path, python, unpack, runtime_layer, sentiment, sentiment_workspace
):
    """Under the Python that runs this: docs/hot-path.md says which others it was tried with."""
    task = unpack(bundle.build("functions.handlers.predict", tmp_path, python)).rename(tmp_path / "task")
    packed = model.build(sentiment_workspace.registry(), "sentiment", sentiment.manifest.version, tmp_path)
    opt = unpack(runtime_layer, packed).rename(tmp_path / "opt")
    inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["A wonderful film."]}]
    asked = {
        "/v1/models/sentiment/predict": ({"instances": ["A wonderful film."]}, {"instances": [3]}),
        "/v2/models/sentiment/infer": ({"inputs": inputs},),
    }
    events = [
        json.loads(proxy_event(path, json.dumps(body), encoded=True))
        for path, bodies in asked.items()
        for body in bodies
    ]
    with lambda_part.dynamodb(SimpleNamespace(folder=tmp_path, root=ROOT)) as aws:
        told = {key: value for key, value in ENVIRONMENT.items() if key != "AWS_ENDPOINT_URL"} | {
            **aws,
            "PAYPHONE_ARTIFACT": str(opt / "payphone" / "sentiment"),
            "PAYPHONE_LITERT_LIBRARY": str(opt / "lib" / "libLiteRt.so"),
        }
        command = [sys.executable, "-I", "-S", "-W", "error", "-c", CALL, str(task), str(opt / "python")]
        done = subprocess.run(
            command,
            env=told,
            cwd=tmp_path,
            input=json.dumps(events),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    *lines, printed = done.stdout.splitlines()
    answers = json.loads(printed)
    assert [answer["statusCode"] for answer in answers] == [200, 422, 200]
    assert [json.loads(line)["billed"] for line in lines] == [1, 0, 1]
    assert json.loads(answers[0]["body"])["predictions"][0]["label"] == "positive"
    assert json.loads(answers[2]["body"])["outputs"][0]["data"] == ["positive"]
