"""The deployed handler, in this process: real model, real ledger code, DynamoDB as moto has it."""

import base64
import json
import os
import struct
import time

import pytest

from functions.calls.problems import MAX_BODY
from functions.inference.engine import InferenceError

GOOD = "A wonderful, warm and funny film. I loved every minute of it."
BAD = "Dull, lifeless and far too long. The worst film I have seen this year."
PREDICT = "/v1/models/sentiment/predict"
INFER = "/v2/models/sentiment/infer"


@pytest.fixture
def artifact(sentiment, sentiment_workspace):
    manifest = sentiment.manifest
    return sentiment_workspace.models / manifest.name / manifest.version


@pytest.fixture
def environment(aws, ledger_table, access_table, artifact):
    aws.setenv("PAYPHONE_MODEL", "sentiment")
    aws.setenv("PAYPHONE_ARTIFACT", str(artifact))
    aws.setenv("PAYPHONE_KEY_CACHE_SECONDS", "0")
    return aws


@pytest.fixture
def predict(environment, load):
    return load("predict")


@pytest.fixture
def call(predict, make_event, put_key, capfd):
    """Call with a good key; gives status, headers, body and the line that was logged."""
    put_key()

    def send(method, path, body=b"", **options):
        capfd.readouterr()
        answer = predict.handler(make_event(method, path, body, **options), None)
        content = answer["body"]
        content = base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()
        return answer["statusCode"], answer["headers"], content, json.loads(capfd.readouterr().out)

    return send


def rows(table):
    return table.scan(ConsistentRead=True)["Items"]


@pytest.mark.parametrize("text", [False, True])
def test_a_call_is_answered_and_billed(call, ledger_table, text):
    status, headers, body, line = call("POST", PREDICT, {"instances": [GOOD, BAD]}, text=text)
    answer = json.loads(body)
    assert status == 200, body
    assert [p["label"] for p in answer["predictions"]] == ["positive", "negative"]
    assert answer["usage"] == {"call_id": "gw:attempt1=", "units": 2, "billed": True}
    assert headers["x-request-id"] == "attempt1="
    [row] = rows(ledger_table)
    assert (row["call_id"], row["customer"], row["plan"]) == ("gw:attempt1=", "cus_a", "starter@0123456789ab")
    assert (row["units"], row["started_at"], row["state"]) == (2, 1_800_000_000_001, "live")
    assert line["call_id"] == row["call_id"]
    assert (line["status"], line["billed"], line["units"], line["key_id"]) == (200, 1, 2, "key_1")
    assert line["bytes_out"] == len(body)
    assert line["cold"] is True
    assert line["total_us"] > line["inference_us"] > 0
    assert line["memory_mb"] > 0
    assert GOOD.split()[1] not in json.dumps(line)


def test_every_metric_that_is_announced_is_there(call):
    line = call("POST", PREDICT, {"instances": [GOOD]})[3]
    [described] = line["_aws"]["CloudWatchMetrics"]
    assert described["Dimensions"] == [["stage", "model"]]
    assert line["stage"] == "test"
    assert line["model"] == "sentiment"
    for metric in described["Metrics"]:
        assert isinstance(line[metric["Name"]], int)


def test_v2_in_json(call, ledger_table):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [GOOD]}
    status, _, body, line = call("POST", INFER, {"inputs": [tensor], "id": "seven"})
    answer = json.loads(body)
    assert (status, answer["id"], answer["model_name"]) == (200, "seven", "sentiment")
    assert line["units"] == len(rows(ledger_table)) == 1


def test_v2_in_binary(call):
    text = GOOD.encode()
    raw = struct.pack("<I", len(text)) + text
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "text",
                    "shape": [1],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": len(raw)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    status, headers, body, line = call(
        "POST",
        INFER,
        head + raw,
        content_type="application/octet-stream",
        inference_header_content_length=str(len(head)),
    )
    assert status == 200, body
    size = int(headers["inference-header-content-length"])
    described = json.loads(body[:size])["outputs"]
    assert sum(item["parameters"]["binary_data_size"] for item in described) == len(body) - size
    assert line["bytes_out"] == len(body)


def test_a_small_json_answer_is_text_and_a_tensor_is_not(predict, make_event, put_key):
    put_key()
    answer = predict.handler(make_event("POST", PREDICT, {"instances": [GOOD]}), None)
    assert answer["isBase64Encoded"] is False
    assert json.loads(answer["body"])["predictions"]


@pytest.mark.parametrize("path", ["/v2/models/sentiment", "/v2/models/sentiment/ready"])
def test_what_is_no_call_is_answered_and_not_billed(call, ledger_table, path):
    status, _, body, line = call("GET", path)
    assert (status, json.loads(body)["name"]) == (200, "sentiment")
    assert line["billed"] == line["units"] == 0
    assert rows(ledger_table) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", PREDICT, b"{", 400, "invalid-json"),
        ("POST", PREDICT, {"instances": [7]}, 422, "invalid-input"),
        ("GET", PREDICT, b"", 405, "method-not-allowed"),
        ("POST", "/v1/models/other/predict", {"instances": [GOOD]}, 404, "model-not-found"),
        ("POST", "/v1/models/sentiment/nothing", b"", 404, "not-found"),
        ("POST", INFER, b"{", 400, "invalid-json"),
        ("POST", PREDICT, b" " * (MAX_BODY + 1), 413, "request-too-large"),
    ],
)
def test_what_is_wrong_is_said_and_not_billed(call, ledger_table, method, path, body, status, kind):
    got, headers, answer, line = call(method, path, body)
    problem = json.loads(answer)
    assert (got, problem["type"]) == (status, f"urn:payphone:problem:{kind}")
    assert headers["content-type"] == "application/problem+json"
    assert ("error" in problem) == path.startswith("/v2")
    assert (line["status"], line["billed"], line["failed"]) == (status, 0, 0)
    assert rows(ledger_table) == []


def test_a_gateway_key_without_our_record_opens_nothing(call, ledger_table):
    for key in ("gw-unknown", ""):
        status, headers, body, line = call("POST", PREDICT, {"instances": [GOOD]}, key=key)
        assert status == 401, body
        assert headers["www-authenticate"] == "Bearer"
        assert line["key_id"] == ""
    assert rows(ledger_table) == []


def test_a_closed_key_opens_nothing(call, put_key):
    now = int(time.time() * 1000)
    for fields in ({"revoked_at": now}, {"expires_at": 1_700_000_000_000}):
        put_key(**fields)
        assert call("POST", PREDICT, {"instances": [GOOD]})[0] == 401


def test_a_model_out_of_scope_does_not_exist(call, put_key):
    put_key(models=("spam",))
    assert call("POST", PREDICT, {"instances": [GOOD]})[0] == 404


def test_a_revoked_key_is_shut_when_its_record_is_read_again(
    environment, load, make_event, put_key, monkeypatch
):
    from functions.access import dynamodb

    environment.setenv("PAYPHONE_KEY_CACHE_SECONDS", "5")
    predict, now = load("predict"), time.time()
    monkeypatch.setattr(dynamodb, "time", lambda: now)
    put_key()

    def status():
        return predict.handler(make_event("POST", PREDICT, {"instances": [GOOD]}), None)["statusCode"]

    assert status() == 200
    put_key(revoked_at=1)
    assert status() == 200
    now += 5
    assert status() == 401
    put_key()
    now -= 60  # a clock that was set back trusts nothing it has
    assert status() == 200


def test_a_forged_request_id_is_no_free_call(predict, make_event, put_key, ledger_table, capfd):
    put_key()
    for _ in range(2):
        event = make_event("POST", PREDICT, {"instances": [GOOD]})
        event["requestContext"]["requestId"] = "11111111-1111-1111-1111-111111111111"
        event["headers"]["x-amzn-RequestId"] = "11111111-1111-1111-1111-111111111111"
        assert predict.handler(event, None)["statusCode"] == 200
    assert {row["call_id"] for row in rows(ledger_table)} == {"gw:attempt1=", "gw:attempt2="}
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["request_id"] for line in lines] == ["11111111-1111-1111-1111-111111111111"] * 2


def test_a_replay_is_answered_for_free(call, ledger_table):
    first = call("POST", PREDICT, {"instances": [GOOD]}, idempotency_key="order-7")
    again = call("POST", PREDICT, {"instances": [GOOD]}, idempotency_key="order-7")
    assert json.loads(again[2])["predictions"] == json.loads(first[2])["predictions"]
    assert again[1]["idempotent-replayed"] == "true"
    assert (first[3]["billed"], again[3]["billed"]) == (1, 0)
    [row] = rows(ledger_table)
    assert row["attempts"] == ["attempt1=", "attempt2="]


def test_what_fails_after_the_write_is_taken_back(call, predict, ledger_table, monkeypatch):
    def fail(*_):
        raise InferenceError("broken")

    monkeypatch.setattr(predict._model, "run", fail)
    status, _, body, line = call("POST", PREDICT, {"instances": [GOOD]})
    assert (status, json.loads(body)["type"]) == (500, "urn:payphone:problem:internal")
    assert (line["failed"], line["billed"]) == (1, 0)
    [row] = rows(ledger_table)
    assert (row["state"], row["revision"]) == ("void", 2)


def test_without_a_ledger_nobody_is_answered(environment, load, make_event, put_key, monkeypatch):
    environment.setenv("PAYPHONE_LEDGER_TABLE", "nowhere")
    predict = load("predict")
    put_key()
    answer = predict.handler(make_event("POST", PREDICT, {"instances": [GOOD]}), None)
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["type"] == "urn:payphone:problem:ledger-unavailable"


def test_without_key_records_nobody_is_let_in(environment, load, make_event, ledger_table):
    environment.setenv("PAYPHONE_ACCESS_TABLE", "nowhere")
    answer = load("predict").handler(make_event("POST", INFER, {"inputs": []}), None)
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["type"]) == (503, "urn:payphone:problem:access-unavailable")
    assert problem["error"]
    assert rows(ledger_table) == []


def test_an_answer_that_is_billed_leaves_even_if_its_line_can_not(call, predict, make_event, monkeypatch):
    def refuse(*_):
        raise OSError("no space")

    monkeypatch.setattr(predict.os, "write", refuse)
    assert predict.handler(make_event("POST", PREDICT, {"instances": [GOOD]}), None)["statusCode"] == 200


def test_a_large_json_answer_goes_as_bytes(predict):
    """As JSON text each of its quotes would take two bytes, and Lambda refuses 6 MB: after the billing."""
    from functions.calls.gateway import MAX_TEXT, reply
    from functions.calls.problems import Response

    body = b'"' * (MAX_TEXT + 1)
    answer = reply(Response(200, {"content-type": "application/json"}, body))
    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"]) == body


def test_a_model_too_large_for_a_layer_comes_from_s3(environment, make_bucket, artifact, load, monkeypatch):
    from functions.aws import s3

    monkeypatch.setattr(s3, "RANGE", 64 * 1024)  # so that it takes several
    bucket = make_bucket("PAYPHONE_MODELS_BUCKET")
    for file in artifact.iterdir():
        bucket.put_object(Key=f"models/sentiment/1/{file.name}", Body=file.read_bytes())
    environment.setenv("PAYPHONE_ARTIFACT", f"s3://{bucket.name}/models/sentiment/1")
    assert load("predict")._model.manifest.name == "sentiment"
    size = (artifact / "model.tflite").stat().st_size
    bucket.put_object(Key="models/sentiment/1/model.tflite", Body=os.urandom(size))
    with pytest.raises(Exception, match=r"sha256|SHA-256"):
        load("predict")


def test_a_function_does_not_start_with_another_model_or_without_its_settings(environment, load):
    environment.setenv("PAYPHONE_MODEL", "spam")
    with pytest.raises(ValueError, match="'spam' was expected"):
        load("predict")
    environment.delenv("PAYPHONE_MODEL")
    with pytest.raises(Exception, match="PAYPHONE_MODEL is not set"):
        load("predict")
