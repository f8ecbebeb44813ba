"""`payphone model add`: what the operator is shown, and that what it prints works."""

import json
import os
import shlex
import subprocess
import sys

import pytest


def test_adds_calls_once_and_prints_the_curl_line(payphone, pairs_graph, tmp_path):
    file = tmp_path / "pairs.tflite"
    file.write_bytes(pairs_graph)
    arguments = ("model", "add", str(file), "--name", "larger", "--labels", "first,second")
    document = payphone.json(*arguments)
    assert (document["version"], document["live"], document["labels"]) == ("1", True, ["first", "second"])
    assert document["answer"]["label"] in ("first", "second")
    words = shlex.split(document["curl"])
    assert "http://127.0.0.1:8080/v1/models/larger/predict" in words
    body = json.loads(words[words.index("-d") + 1])
    (instance,) = body["instances"]
    again = payphone.json("predict", "larger", json.dumps(instance))
    assert again["predictions"][0] == document["answer"]
    text = payphone.ok(*arguments)
    assert "payphone model promote larger 2" in text
    assert 'add "larger" to `serve` under [models] in service.toml' in text
    assert "payphone serve --also larger" in text
    assert "pair float32 [any, 2]" in text
    assert text.splitlines()[-1].startswith("curl -s http://127.0.0.1:8080/v1/models/larger/predict")


@pytest.mark.parametrize("wide", [False, True])
def test_the_printed_line_works_against_the_server(payphone, pairs_graph, wide_graph, tmp_path, wide):
    """As a shell would send it, but for the port; a long body lies in a file."""
    file = tmp_path / "model.tflite"
    file.write_bytes(wide_graph if wide else pairs_graph)
    document = payphone.json("model", "add", str(file), "--name", "mine")
    payphone.json("customer", "add", "Ada Ltd", "ada@example.com")
    key = payphone.json("key", "issue", "ada@example.com", "--plan", "trial")["key"]
    places = ["--state", str(payphone.place.root), "--service", str(payphone.service)]
    serve = ["serve", "--port", "0", "--also", "mine", "--json"]
    server = subprocess.Popen(
        [sys.executable, "-c", "from infra.cli.main import app; app()", *places, *serve],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = json.loads(server.stdout.readline())["url"]
        assert ("@" in document["curl"]) == wide
        line = document["curl"].replace("http://127.0.0.1:8080", url)
        answered = subprocess.run(
            ["sh", "-c", line], capture_output=True, env={**os.environ, "PAYPHONE_KEY": key}, check=True
        )
        answer = json.loads(answered.stdout)
        assert answer["predictions"] == [document["answer"]]
        assert answer["usage"]["billed"]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def test_labels_may_stand_in_a_file(payphone, pairs_graph, tmp_path):
    (tmp_path / "labels.txt").write_text("left\n\nright\n")
    (tmp_path / "pairs.tflite").write_bytes(pairs_graph)
    document = payphone.json(
        *("model", "add", str(tmp_path / "pairs.tflite"), "--name", "sides"),
        *("--labels", f"@{tmp_path / 'labels.txt'}"),
    )
    assert document["labels"] == ["left", "right"]


def test_refusals_are_one_sentence(payphone, tmp_path):
    file = tmp_path / "model.joblib"
    file.write_bytes(b"\x80\x04.")
    assert "--trust" in payphone.error("model", "add", str(file), "--name", "mine")
    assert "can't be read" in payphone.error("model", "add", str(tmp_path / "none.keras"), "--name", "mine")
    assert "can't be a model's name" in payphone.error("model", "add", str(file), "--name", "Not a name")
