"""Calls against the deployed bytes: the answer, its one row in ledger and archive, its line in the log."""

import uuid

import numpy as np
import pytest
import tritonclient.http as triton

TEXTS = ["A delight from start to end.", "Dull, loud and far too long.", "né 漢字"]


def attempt_of(response):
    return response.headers["x-amz-apigw-id"]


def test_a_call_is_one_row_in_the_ledger_the_archive_and_the_access_log(cloud, http, key):
    before = {row["call_id"]["S"] for row in cloud.rows(key["key_id"])}
    answer = cloud.predict(http)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["predictions"][0]["label"] == "positive"
    attempt, call = attempt_of(answer), document["usage"]["call_id"]
    assert answer.headers["x-request-id"] == attempt
    assert call == answer.headers["payphone-call-id"] == f"gw:{attempt}"
    assert len(answer.headers["payphone-receipt"]) == len("2026-11-23.") + 64
    (row,) = [row for row in cloud.rows(key["key_id"]) if row["call_id"]["S"] not in before]
    assert row["call_id"]["S"] == call
    assert row["plan"]["S"] == key["plan"]
    assert row["state"]["S"] == "live"
    archived = cloud.eventually(
        lambda: [row for row in cloud.archived(key["key_id"]) if row["call_id"] == call]
    )
    assert [(one["attempts"], one["customer"], one["units"]) for one in archived] == [
        ([attempt], key["customer"], 1)
    ]
    line = cloud.eventually(lambda: cloud.access_log().get(attempt))
    assert (line["status"], line["method"], line["resource"]) == (
        200,
        "POST",
        "/v1/models/sentiment/{proxy+}",
    )
    assert line["request_id"] == answer.headers["x-amzn-requestid"]
    assert line["key_id"] not in ("", "-", key["key_id"])  # the gateway's own id of the key


def test_a_client_that_names_its_own_request_pays_for_each_call(cloud, http, key):
    before = len(cloud.rows(key["key_id"]))
    forged = {"x-amzn-RequestId": str(uuid.uuid4())}
    answers = [cloud.predict(http, headers=forged) for _ in range(3)]
    assert {answer.headers["x-amzn-requestid"] for answer in answers} == set(forged.values())
    assert len({attempt_of(answer) for answer in answers}) == 3
    assert all(answer.json()["usage"]["billed"] for answer in answers)
    assert len(cloud.rows(key["key_id"])) == before + 3


def test_a_replay_is_answered_again_and_is_one_row(cloud, http, key):
    named = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = (cloud.predict(http, headers=named) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["predictions"] == second.json()["predictions"]
    assert (first.json()["usage"]["billed"], second.json()["usage"]["billed"]) == (True, False)
    assert second.headers["idempotent-replayed"] == "true"
    call = first.json()["usage"]["call_id"]
    (row,) = [row for row in cloud.rows(key["key_id"]) if row["call_id"]["S"] == call]
    assert [attempt["S"] for attempt in row["attempts"]["L"]] == [attempt_of(first), attempt_of(second)]
    other = cloud.predict(http, headers=named, json={"instances": ["Another text."]})
    assert (other.status_code, other.json()["type"]) == (
        422,
        "urn:payphone:problem:idempotency-key-mismatch",
    )


def test_usage_counts_the_calls_that_were_archived(cloud):
    key = cloud.issue()
    with cloud.http(key["key"]) as http:
        for _ in range(3):
            assert cloud.predict(http, json={"instances": TEXTS}).status_code == 200
        cloud.eventually(lambda: http.get("/v1/usage").json()["calls"] == 3)
        report = http.get("/v1/usage").json()
    assert (report["customer"], report["units"]) == (key["customer"], 9)
    told = cloud.run("usage", "--stage", "test", "--customer", key["customer"])
    assert (told["calls"], told["units"]) == (3, 9)


def test_models_and_documentation(cloud, http):
    listed = http.get("/v1/models").json()["models"]
    assert ("sentiment", "1") in [(model["name"], model["version"]) for model in listed]
    shown = http.get("/v1/models/sentiment").json()
    assert shown["price"]["per_call"] == "0.002"
    with cloud.http() as anybody:
        page = anybody.get("/docs")
        assert page.status_code == 200
        assert "/test/openapi.json" in page.text or "openapi.json" in page.text
        document = anybody.get("/openapi.json").json()
    assert "/v1/models/{model}/predict" in document["paths"]


@pytest.mark.parametrize("binary", [True, False])
def test_nvidias_own_client(cloud, key, binary):
    client = triton.InferenceServerClient(cloud.url.removeprefix("http://"))
    headers = {"x-api-key": key["key"]}
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("sentiment", headers=headers)
        assert client.get_server_metadata()["name"] == "payphone"
        metadata = client.get_model_metadata("sentiment", headers=headers)
        tensor = triton.InferInput("text", [len(TEXTS)], "BYTES")
        tensor.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=binary)
        wanted = [
            triton.InferRequestedOutput(output["name"], binary_data=binary) for output in metadata["outputs"]
        ]
        result = client.infer("sentiment", [tensor], outputs=wanted, headers=headers)
    finally:
        client.close()
    score = result.as_numpy(metadata["outputs"][1]["name"])
    assert score.shape == (3, 1)
    assert score.dtype == np.float32
    with cloud.http(key["key"]) as http:
        same = cloud.predict(http, json={"instances": TEXTS}).json()["predictions"]
    labels = [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("label")]
    assert labels == [prediction["label"] for prediction in same]
