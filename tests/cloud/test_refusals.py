"""What is refused, by the gateway or by the function: always a problem document, never a row."""

import json

import pytest

PATH = "/v1/models/sentiment/predict"
CALL = {"instances": ["A wonderful little film."]}
FIELDS = {"type", "title", "status", "detail", "instance"}


def problem(response, status, kind):
    """Check that an answer is this problem, named by its own id."""
    document = response.json()
    assert (response.status_code, document.get("type")) == (status, f"urn:payphone:problem:{kind}"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert document.keys() >= FIELDS
    assert document["status"] == status
    assert document["instance"] == f"urn:payphone:request:{response.headers['x-request-id']}"
    assert response.headers["x-request-id"] == response.headers["x-amz-apigw-id"]
    return document


@pytest.mark.parametrize("value", [None, "", "no-such-key", "pp_live_" + "A" * 38])
def test_no_key_or_a_wrong_one(cloud, value):
    with cloud.http(value) as http:
        document = problem(http.post(PATH, json=CALL), 401, "unauthenticated")
        assert document["error"] == document["detail"]
        problem(http.get("/v1/usage"), 401, "unauthenticated")
        problem(http.get("/v2/models/sentiment"), 401, "unauthenticated")


def test_a_revoked_key_is_shut_within_five_seconds(cloud):
    key = cloud.issue()
    with cloud.http(key["key"]) as http:
        assert http.post(PATH, json=CALL).status_code == 200
        assert cloud.run("key", "revoke", key["key_id"], "--stage", "test")["state"] == "revoked"
        refused = cloud.eventually(lambda: (r := http.post(PATH, json=CALL)).status_code == 401 and r, 5)
    problem(refused, 401, "unauthenticated")


def test_a_rotated_key_works_through_its_grace(cloud):
    key = cloud.issue()
    new = cloud.run("key", "rotate", key["key_id"], "--grace", "1h", "--stage", "test")
    assert (new["customer"], new["plan"]) == (key["customer"], key["plan"])
    for value in (key["key"], new["key"]):
        with cloud.http(value) as http:
            assert http.post(PATH, json=CALL).status_code == 200
    states = cloud.run("key", "list", "--customer", key["customer"], "--stage", "test")["keys"]
    assert [one["state"] for one in states] == ["retiring", "active"]


def test_a_key_of_the_gateway_without_our_record_opens_nothing(cloud):
    gateway, value = cloud.client("apigateway"), "made-by-hand-at-the-gateway"
    plan = json.loads(cloud.outputs["PlanIds"])["open"]
    made = gateway.create_api_key(name="by-hand", value=value, enabled=True)["id"]
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=made, keyType="API_KEY")
    with cloud.http(value) as http:
        problem(http.post(PATH, json=CALL), 401, "unauthenticated")
        problem(http.get("/v1/usage"), 401, "unauthenticated")


def test_a_model_out_of_the_keys_scope_looks_like_none(cloud, key):
    access, table = cloud.client("dynamodb"), cloud.outputs["AccessTable"]
    narrow = cloud.issue()
    pointer = access.get_item(TableName=table, Key={"id": {"S": f"key#{narrow['key_id']}"}})["Item"]
    access.update_item(
        TableName=table,
        Key={"id": {"S": f"gateway#{pointer['gateway_id']['S']}"}},
        UpdateExpression="SET models = :other",
        ExpressionAttributeValues={":other": {"L": [{"S": "another"}]}},
    )
    with cloud.http(narrow["key"]) as http, cloud.http(key["key"]) as wide:
        hidden = problem(http.post(PATH, json=CALL), 404, "model-not-found")
        unknown = problem(wide.post("/v1/models/nothing/predict", json=CALL), 404, "model-not-found")
        assert hidden["detail"] == unknown["detail"]
        problem(wide.post("/v2/models/nothing/infer", json={}), 404, "model-not-found")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "invalid-json"),
        (b"", 400, "invalid-json"),
        (b"\xff\xfe", 400, "invalid-json"),
        (b'{"instances": []}', 422, "invalid-input"),
        (b'{"instances": [1]}', 422, "invalid-input"),
    ],
)
def test_a_malformed_body(cloud, http, key, body, status, kind):
    before = len(cloud.rows(key["key_id"]))
    problem(http.post(PATH, content=body, headers={"content-type": "application/json"}), status, kind)
    assert len(cloud.rows(key["key_id"])) == before


@pytest.mark.parametrize("megabytes", [4.5, 7, 11])
def test_a_body_over_the_limit_of_us_of_lambda_and_of_the_gateway(http, megabytes):
    body = b'{"instances": ["%s"]}' % (b"x" * int(megabytes * 1024 * 1024))
    problem(http.post(PATH, content=body), 413, "request-too-large")


def test_addresses_and_methods_that_are_not_there(http):
    problem(http.get("/nowhere"), 404, "not-found")
    problem(http.get("/v1/nowhere"), 404, "not-found")
    problem(http.get(PATH), 405, "method-not-allowed")
    problem(http.delete("/docs"), 405, "method-not-allowed")


def test_the_plans_throttle(cloud):
    with cloud.http(cloud.issue("slow")["key"]) as http:
        answers = [http.post(PATH, json=CALL) for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert problem(answers[4], 429, "throttled")
    assert answers[4].headers["retry-after"] == "1"


def test_the_plans_quota_and_no_row_for_what_it_refused(cloud):
    key = cloud.issue("small")
    with cloud.http(key["key"]) as http:
        answers = [http.post(PATH, json=CALL) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    problem(answers[6], 429, "quota-exceeded")
    assert len(cloud.rows(key["key_id"])) == 5
