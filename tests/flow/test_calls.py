"""Calls over HTTP as customers make them: answers, refusals, replays, and what is billed for each."""

import json
import socket
import sqlite3
import time

import pytest

from functions.metering.canonical import receipt_of

REVIEW = "A quiet, funny and moving film. I would see it again tomorrow."
CALL = {"instances": [REVIEW]}
PATH = "/v1/models/sentiment/predict"


@pytest.fixture(scope="module")
def key(server):
    return server.issue()[0]


@pytest.fixture
def client(server, key):
    with server.client(key) as made:
        yield made


@pytest.fixture
def billed(server):
    """How many rows have come since the test began."""
    before = len(server.rows())
    return lambda: len(server.rows()) - before


def problem(response, status, kind):
    document = response.json()
    assert (response.status_code, document["type"]) == (status, f"urn:payphone:problem:{kind}"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["instance"].endswith(response.headers["x-request-id"])
    return document


def test_an_answer_has_label_probability_and_what_it_cost(client, billed, server):
    response = client.post(PATH, json=CALL)
    document = response.json()
    assert response.status_code == 200
    (prediction,) = document["predictions"]
    assert prediction["label"] in ("negative", "positive")
    assert prediction["probability"] == max(prediction["probabilities"].values())
    assert (document["model"], document["version"]) == ("sentiment", "1")
    call_id = "gw:" + response.headers["x-request-id"]
    assert document["usage"] == {"call_id": call_id, "units": 1, "billed": True}
    assert response.headers["payphone-call-id"] == call_id
    assert billed() == 1
    row = next(row for row in server.rows() if row.call_id == call_id)
    assert response.headers["payphone-receipt"] == receipt_of(row)
    assert len(row.nonce) == 32
    assert (row.model, row.version, row.kind, row.units, row.plan[:5]) == (
        "sentiment",
        "1",
        "predict",
        1,
        "open@",
    )
    assert row.bytes_in == len(response.request.content)
    assert abs(row.started_at - time.time() * 1000) < 60_000


def test_many_reviews_are_one_call(client, billed):
    response = client.post(PATH, json={"instances": [REVIEW, {"text": "Dreadful."}] * 32})
    predictions = response.json()["predictions"]
    assert len(predictions) == 64
    assert predictions[0] == predictions[2]
    assert response.json()["usage"]["units"] == 64
    assert billed() == 1


def test_the_server_answers_as_the_model_itself(client, sentiment_workspace):
    from array import array

    from functions.inference import engine
    from functions.preprocess.tensors import Tensor

    registry = sentiment_workspace.registry()
    manifest = registry.manifest("sentiment")
    model = engine.load(manifest, lambda name: registry.read(manifest, name))
    texts = [REVIEW, "Dreadful.", "", "né 漢字 \x00 film"]
    (scores,) = model.run(model.prepare([Tensor("text", "string", (len(texts),), texts)]))
    expected = [pytest.approx(p, abs=1e-6) for p in array("f", scores.data)]
    predictions = client.post(PATH, json={"instances": texts}).json()["predictions"]
    assert [p["probabilities"]["positive"] for p in predictions] == expected


def test_a_bearer_token_is_a_key_too(server, key):
    with server.client() as client:
        assert client.post(PATH, json=CALL, headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "nonsense"},
        {"x-api-key": "pp_live_" + "0" * 38},
        {"x-api-key": "é" * 46},
        {"authorization": "Basic pp_live_x"},
    ],
)
def test_without_a_key_of_ours_nothing_is_answered_or_billed(server, billed, headers):
    with server.client() as client:
        encoded = {name: value.encode() for name, value in headers.items()}
        response = client.post(PATH, json=CALL, headers=encoded)
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        problem(client.get("/v1/models", headers=encoded), 401, "unauthenticated")
        problem(client.get("/v2/models/sentiment", headers=encoded), 401, "unauthenticated")
    assert billed() == 0


def test_a_key_opens_only_the_models_of_its_scope(server):
    key, _ = server.issue(models=("other",))
    with server.client(key) as client:
        out_of_scope = problem(client.post(PATH, json=CALL), 404, "model-not-found")
        unknown = problem(client.post("/v1/models/nothing/predict", json=CALL), 404, "model-not-found")
        assert out_of_scope["detail"] == unknown["detail"]
        problem(client.get("/v1/models/sentiment"), 404, "model-not-found")
        assert client.get("/v1/models").json() == {"models": []}


def test_a_revoked_key_is_shut_out_at_once(server):
    key, record = server.issue()
    with server.client(key) as client:
        assert client.post(PATH, json=CALL).status_code == 200
        keys = server.workspace.keys()
        keys.revoke(record.key_id)
        keys.close()
        problem(client.post(PATH, json=CALL), 401, "unauthenticated")


def test_a_rotated_key_works_for_its_grace_and_both_are_one_customer(server):
    key, record = server.issue(customer="cus_000000000rotates")
    keys = server.workspace.keys()
    new, _ = keys.rotate(record.key_id, grace_ms=1_500)
    keys.close()
    once = {"idempotency-key": "across-rotation"}
    with server.client(key) as old_client, server.client(new) as new_client:
        first = old_client.post(PATH, json=CALL, headers=once)
        again = new_client.post(PATH, json=CALL, headers=once)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.headers["idempotent-replayed"] == "true"
        assert len(server.rows("cus_000000000rotates")) == 1
        time.sleep(1.6)
        problem(old_client.post(PATH, json=CALL), 401, "unauthenticated")
        assert new_client.post(PATH, json=CALL).status_code == 200


def test_a_replay_is_answered_again_and_billed_once(client, billed):
    headers = {"idempotency-key": "order-1"}
    answers = [client.post(PATH, json=CALL, headers=headers) for _ in range(11)]
    assert [a.status_code for a in answers] == [200] * 11
    assert [a.headers.get("idempotent-replayed") for a in answers] == [None] + ["true"] * 10
    assert len({a.headers["payphone-call-id"] for a in answers}) == 1
    assert len({a.headers["payphone-receipt"] for a in answers}) == 1
    assert {json.dumps(a.json()["predictions"]) for a in answers} == {
        json.dumps(answers[0].json()["predictions"])
    }
    assert answers[3].json()["usage"]["billed"] is False
    assert answers[3].json()["usage"]["billed_version"] == "1"
    problem(client.post(PATH, json=CALL, headers=headers), 422, "idempotency-key-exhausted")
    assert billed() == 1


@pytest.mark.parametrize("other", [{"instances": [REVIEW + " "]}, {"instances": [REVIEW, REVIEW]}])
def test_an_idempotency_key_belongs_to_one_request(client, billed, other):
    headers = {"idempotency-key": f"mismatch-{len(json.dumps(other))}"}
    assert client.post(PATH, json=CALL, headers=headers).status_code == 200
    problem(client.post(PATH, json=other, headers=headers), 422, "idempotency-key-mismatch")
    v2 = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [REVIEW]}]}
    problem(
        client.post("/v2/models/sentiment/infer", json=v2, headers=headers), 422, "idempotency-key-mismatch"
    )
    assert billed() == 1


def test_two_customers_may_use_the_same_idempotency_key(server, client, billed):
    headers = {"idempotency-key": "shared"}
    other, _ = server.issue(customer="cus_0000000000000002")
    with server.client(other) as second:
        assert "idempotent-replayed" not in client.post(PATH, json=CALL, headers=headers).headers
        assert "idempotent-replayed" not in second.post(PATH, json=CALL, headers=headers).headers
    assert billed() == 2


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\tinside"])
def test_an_unusable_idempotency_key_is_refused(client, billed, value):
    problem(client.post(PATH, json=CALL, headers={"idempotency-key": value}), 400, "invalid-idempotency-key")
    assert billed() == 0


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 400, "invalid-json"),
        (b'{"instances": [', 400, "invalid-json"),
        (b"\xff", 400, "invalid-json"),
        (b"[" * 50_000, 400, "invalid-json"),
        (b"[]", 400, "invalid-request"),
        (b'{"instances": []}', 422, "invalid-input"),
        (b'{"instances": [1]}', 422, "invalid-input"),
        (b'{"instances": [null]}', 422, "invalid-input"),
        (json.dumps({"instances": ["x"] * 65}).encode(), 422, "invalid-input"),
        (json.dumps({"instances": ["x" * 20_001]}).encode(), 422, "invalid-input"),
        (b'{"instances": ["' + b"x" * 4_194_304 + b'"]}', 413, "request-too-large"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bad_body_is_a_problem_and_never_a_row(client, billed, server, content, status, kind):
    response = client.post(PATH, content=content, headers={"content-type": "application/json"})
    problem(response, status, kind)
    assert billed() == 0


def test_a_body_in_chunks_is_bounded_too(client, billed):
    chunks = (b"x" * 65536 for _ in range(80))
    response = client.post(PATH, content=chunks, headers={"content-type": "application/json"})
    problem(response, 413, "request-too-large")
    assert billed() == 0


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_wrong_content_type_is_refused(client, content_type):
    response = client.post(PATH, content=json.dumps(CALL), headers={"content-type": content_type})
    problem(response, 415, "unsupported-media-type")


def test_wrong_addresses_and_methods_are_problems(client):
    problem(client.get("/nothing"), 404, "not-found")
    problem(client.post("/v1/models/sentiment"), 405, "method-not-allowed")
    assert (
        problem(client.get(PATH), 405, "method-not-allowed") and client.get(PATH).headers["allow"] == "POST"
    )
    problem(client.post("/v1/models/none/predict", json=CALL), 404, "model-not-found")
    document = problem(client.get("/v2/models/sentiment/versions/9"), 404, "model-not-found")
    assert document["live_version"] == "1"
    assert document["error"] == document["detail"]


def raw(server, data):
    with socket.create_connection(server.url.removeprefix("http://").split(":")) as connection:
        connection.settimeout(10)
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.split(b"\r\n")[0], json.loads(body)


@pytest.mark.parametrize(
    "bomb",
    [
        b"".join(b"x-%d: %s\r\n" % (n, b"y" * 100) for n in range(2000)),
        b"x: " + b"y" * 200_000,
        b"x" * 200_000,
    ],
    ids=["many", "long", "endless"],
)
def test_a_header_bomb_is_refused_while_it_comes_in(server, bomb):
    status, document = raw(server, b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\n" + bomb)
    assert status.startswith(b"HTTP/1.1 431")
    assert document["type"] == "urn:payphone:problem:headers-too-large"


def test_what_is_not_http_is_a_problem(server):
    status, document = raw(server, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 400")
    assert document["status"] == 400


def test_a_throttled_key_is_told_when_to_come_again(server):
    key, _ = server.issue("slow", "cus_0000000000000slow")
    with server.client(key) as client:
        answers = [client.post(PATH, json=CALL) for _ in range(5)]
    assert [a.status_code for a in answers[:3]] == [200] * 3
    assert answers[-1].status_code == 429
    problem(answers[-1], 429, "throttled")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
    assert answers[0].headers["ratelimit-policy"] == '"throttle";q=3;w=6'
    assert answers[0].headers["ratelimit"].startswith('"throttle";r=2')


def test_a_quota_counts_billed_calls_of_all_keys_and_survives_a_restart(make_server):
    with make_server() as server:
        server.start()
        (key, _), (second, _) = (server.issue("small", "cus_0000000000quota") for _ in range(2))
        once = {"idempotency-key": "same"}
        with server.client(key) as client:
            for _ in range(3):
                assert client.post(PATH, json=CALL, headers=once).status_code == 200
            assert client.post(PATH, json={"instances": []}).status_code == 422
            for _ in range(2):
                assert client.post(PATH, json=CALL).status_code == 200
        assert server.stop() == 0
        server.start()
        with server.client(second) as client:
            last = [client.post(PATH, json=CALL) for _ in range(3)]
            again = client.post(PATH, json=CALL, headers=once)  # it is paid, so it is no call more
            new = client.post(PATH, json=CALL, headers={"idempotency-key": "another"})
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert "retry-after" not in again.headers
        problem(new, 429, "quota-exceeded")
        assert [a.status_code for a in last] == [200, 200, 429]
        problem(last[-1], 429, "quota-exceeded")
        assert '"quota";r=0' in last[-1].headers["ratelimit"]
        assert int(last[-1].headers["retry-after"]) > 0
        assert len(server.rows("cus_0000000000quota")) == 5


def test_models_usage_and_docs(server, client):
    (summary,) = client.get("/v1/models").json()["models"]
    assert summary["name"] == "sentiment"
    detail = client.get("/v1/models/sentiment").json()
    assert detail["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert detail["labels"] == ["negative", "positive"]
    assert detail["price"] == {"plan": "open", "currency": "USD", "per_call": "0.002"}
    assert detail["parity"]["rows"] >= 2000
    before = client.get("/v1/usage").json()
    client.post(PATH, json=CALL)
    after = client.get("/v1/usage").json()
    assert after["calls"] == before["calls"] + 1 == sum(row["calls"] for row in after["rows"])
    assert after["customer"] == "cus_0000000000000001"
    problem(client.get("/v1/usage?month=2026-13"), 422, "invalid-parameter")
    assert client.get("/v1/usage?month=2001-01").json()["rows"] == []
    with server.client() as stranger:
        page = stranger.get("/docs").text
        assert "http" not in page.split("<script>")[0].replace(server.url, "")
        assert stranger.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
        assert "/v1/models/{model}/predict" in stranger.get("/openapi.json").json()["paths"]
        assert stranger.get("/v2/health/live").status_code == 200
        assert stranger.get("/v2/health/ready").status_code == 200
        assert stranger.get("/v2").json()["extensions"] == ["binary_tensor_data"]


def test_every_answer_is_in_the_access_log_without_payload_or_key(server, client, key):
    from functions.metering import accesslog

    response = client.post(PATH, json={"instances": ["a very private sentence"]})
    refused = client.post(PATH, json={"instances": [7]})
    time.sleep(0.3)
    records = {record.attempt_id: record for record in accesslog.read(server.workspace.access_log, 0, 2**42)}
    answered = records[response.headers["x-request-id"]]
    assert (answered.status, answered.model, answered.path) == (200, "sentiment", PATH)
    assert answered.response_bytes == len(response.content)
    assert records[refused.headers["x-request-id"]].status == 422
    for path in [p for p in server.state.rglob("*") if p.is_file() and "models" not in p.parts]:
        assert b"very private" not in path.read_bytes()
        assert key.encode() not in path.read_bytes()


def test_a_locked_ledger_is_a_503_and_bills_nothing(make_server):
    with make_server() as server:
        server.start()
        key, _ = server.issue()
        with server.client(key) as client:
            assert client.post(PATH, json=CALL).status_code == 200
            locker = sqlite3.connect(server.workspace.ledger_file, isolation_level=None)
            locker.execute("BEGIN IMMEDIATE")
            response = client.post(PATH, json=CALL, headers={"idempotency-key": "later"})
            problem(response, 503, "ledger-unavailable")
            assert response.headers["retry-after"] == "1"
            locker.execute("ROLLBACK")
            locker.close()
            again = client.post(PATH, json=CALL, headers={"idempotency-key": "later"})
            assert again.status_code == 200
            assert "idempotent-replayed" not in again.headers
        assert len(server.rows()) == 2


def test_a_tampered_model_is_refused_by_name_and_the_others_go_on(make_server):
    with make_server() as server:
        models = server.workspace.models
        import shutil

        shutil.copytree(models / "sentiment", models / "broken")
        manifest = models / "broken" / "1" / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"name": "sentiment"', '"name": "broken"'))
        file = models / "broken" / "1" / "model.tflite"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        server.start()
        key, _ = server.issue()
        with server.client(key) as client:
            problem(client.post("/v1/models/broken/predict", json=CALL), 503, "model-unavailable")
            assert client.post(PATH, json=CALL).status_code == 200
            assert [m["name"] for m in client.get("/v1/models").json()["models"]] == ["sentiment"]
        assert "model broken version 1 can't be loaded" in server.written()
        assert len(server.rows()) == 1


def test_promoting_takes_effect_without_a_restart(make_server):
    with make_server() as server:
        registry = server.workspace.registry()
        manifest = registry.manifest("sentiment")
        files = {ref.name: registry.read(manifest, ref.name) for ref in manifest.files}
        server.start()
        key, _ = server.issue()
        registry.publish(manifest, files)
        registry.promote("sentiment", "2")
        once = {"idempotency-key": "over-promotion"}
        with server.client(key) as client:
            first = client.post(PATH, json=CALL, headers=once).json()
            deadline = time.monotonic() + 30
            while client.post(PATH, json=CALL).json()["version"] != "2":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            replayed = client.post(PATH, json=CALL, headers=once).json()
            assert first["version"] == "1"
            assert (replayed["version"], replayed["usage"]["billed_version"]) == ("2", "1")


def test_a_full_disk_is_a_503_and_bills_nothing(make_server):
    with make_server() as server:
        server.start("prlimit", "--fsize=200000")  # no file may grow beyond that: writes fail half-way
        key, _ = server.issue()
        with server.client(key) as client:
            answers = [client.post(PATH, json=CALL) for _ in range(200)]
            answered = [a for a in answers if a.status_code == 200]
            refused = [a for a in answers if a.status_code != 200]
            assert answered and refused
            problem(refused[0], 503, "ledger-unavailable")
            assert {a.status_code for a in refused} == {503}
        rows = {row.call_id for row in server.rows()}
        assert {a.headers["payphone-call-id"] for a in answered} == rows
