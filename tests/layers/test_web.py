import json
import subprocess
import sys

from layers import web

SCRIPT = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from fastapi import FastAPI
from mangum import Mangum
from aws_lambda_powertools import Logger
import fastapi
app = FastAPI()
app.get("/hello/{name}")(lambda name: {"hello": name})
event = dict.fromkeys(["queryStringParameters", "multiValueQueryStringParameters", "body"]) | {
    "resource": "/{proxy+}", "path": "/hello/ada", "httpMethod": "GET", "headers": {},
    "multiValueHeaders": {}, "isBase64Encoded": False,
    "requestContext": {"identity": {"sourceIp": "127.0.0.1"}, "path": "/hello/ada"},
}
answer = Mangum(app, lifespan="off")(event, None)
seen = {"status": answer["statusCode"], "body": answer["body"], "file": fastapi.__file__}
print(json.dumps(seen | {"boto3": "boto3" in sys.modules, "service": Logger(service="web").service}))
"""


def test_a_control_plane_runs_on_the_layer_alone(web_layer, unpack):
    folder = unpack(web_layer) / "python"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, folder], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert (seen["status"], json.loads(seen["body"])) == (200, {"hello": "ada"})
    assert seen["file"].startswith(str(folder))
    assert (seen["service"], seen["boto3"]) == ("web", False)


def test_its_bytecode_is_taken_without_a_look_at_the_source(web_layer, unpack, python):
    tag = f"cpython-{python.replace('.', '')}"
    cached = unpack(web_layer) / "python" / "fastapi" / "__pycache__" / f"applications.{tag}.pyc"
    header = cached.read_bytes()[:16]
    assert int.from_bytes(header[4:8], "little") == 0b01  # by hash, and the hash is not checked
    assert b"/opt/python/fastapi/applications.py" in cached.read_bytes()
    assert web_layer.notes == ()


def test_tests_stubs_and_commands_stay_behind(web_layer):
    assert not [name for name in web_layer.files if name.endswith((".pyi", "py.typed", "RECORD"))]
    assert not [name for name in web_layer.files if "/tests/" in name or ".data/" in name]
    assert any(name.endswith("licenses/LICENSE") for name in web_layer.files)


def test_building_it_again_gives_the_same_bytes(web_layer, tmp_path, python):
    assert web.build(tmp_path, python, "x86_64").path.read_bytes() == web_layer.path.read_bytes()


def test_for_a_python_that_is_not_here_it_says_that_bytecode_is_missing(tmp_path, python, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    other = "3.13" if python != "3.13" else "3.12"
    layer = web.build(tmp_path, other, "arm64")
    assert not [name for name in layer.files if name.endswith(".pyc")]
    assert f"Python {other} is not on this machine" in layer.notes[0]
    assert any("aarch64" in name and name.endswith(".so") for name in layer.files)
