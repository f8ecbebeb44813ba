import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["title"]


def access_log(stack):
    s3 = stack.client("s3")
    names = [item["Key"] for item in s3.list_objects_v2(Bucket="logs").get("Contents", [])]
    assert all(name.startswith("access/") for name in names)
    lines = b"".join(s3.get_object(Bucket="logs", Key=name)["Body"].read() for name in names)
    return {entry["extended"]: entry for entry in map(json.loads, lines.splitlines())}


def test_the_deployed_bytes_run_in_the_folders_of_lambda(stack):
    seen = stack.call().json()
    task, layer = seen["files"]
    assert task == f"{seen['root']}/handlers.py"
    assert layer.endswith("/python/greeting.py")
    assert seen["greeting"] == "from the layer"
    assert 0 < seen["remaining"] <= 3000


def test_the_function_learns_whose_key_it_is(stack):
    identity = stack.call().json()["context"]["identity"]
    assert identity["apiKeyId"] == stack.outputs["KeyWide"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "no-such-key-anywhere-here"}])
def test_without_a_key_of_a_plan_nobody_gets_in(stack, headers):
    assert problem(stack.call(plan=None, headers=headers)) == (401, "No key")


def test_an_unknown_path_is_answered_by_its_gateway_response(stack):
    response = stack.call("/nowhere")
    assert problem(response) == (404, "Not found")
    assert response.json()["id"] == response.headers["x-amzn-requestid"]


def test_throttle(stack):
    answers = [stack.call(plan="Slow") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[2]) == (429, "Too fast")


def test_quota_and_the_usage_counted_against_it(stack):
    answers = [stack.call(plan="Small") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert problem(answers[3]) == (429, "Quota exceeded")
    today = datetime.now(UTC).date().isoformat()
    usage = stack.client("apigateway").get_usage(
        usagePlanId=stack.outputs["PlanSmall"], startDate=today, endDate=today
    )
    assert usage["items"] == {stack.outputs["KeySmall"]: [[3, 0]]}


def test_a_client_can_forge_the_request_id_but_not_the_extended_one(stack):
    forged = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": forged, "x-amz-apigw-id": "forged", "x-amz-extended-request-id": "forged"}
    answers = [stack.call(headers=headers) for _ in range(2)]
    contexts = [answer.json()["context"] for answer in answers]
    assert [context["requestId"] for context in contexts] == [forged, forged]
    extended = [context["extendedRequestId"] for context in contexts]
    assert len(set(extended)) == 2
    assert "forged" not in extended
    assert [answer.headers["x-amz-apigw-id"] for answer in answers] == extended
    logged = access_log(stack)
    assert [logged[one]["id"] for one in extended] == [forged, forged]


def test_a_request_id_that_is_no_uuid_is_replaced(stack):
    context = stack.call(headers={"x-amzn-RequestId": "1; drop table"}).json()["context"]
    assert str(uuid.UUID(context["requestId"])) == context["requestId"]


def test_the_access_log_holds_every_answer_and_the_time_the_function_saw(stack):
    answered, refused = stack.call(), stack.call(plan=None)
    logged = access_log(stack)
    entry = logged[answered.headers["x-amz-apigw-id"]]
    context = answered.json()["context"]
    assert (entry["status"], entry["key"]) == ("200", stack.outputs["KeyWide"])
    assert entry["at"] == context["requestTimeEpoch"]
    entry = logged[refused.headers["x-amz-apigw-id"]]
    assert (entry["status"], entry["key"], entry["error"]) == ("401", "-", "INVALID_API_KEY")


def test_a_function_that_raises_is_a_502_that_says_nothing_and_lives_on(stack):
    calls = stack.call().json()["calls"]
    failed = stack.call(json={"raise": "a secret"})
    assert problem(failed) == (502, "Failed")
    assert "secret" not in failed.text
    assert stack.call().json()["calls"] == calls + 2


@pytest.mark.parametrize("answer", ["text", {"predictions": [1]}, {"statusCode": 200, "extra": 1}, None])
def test_an_answer_that_is_no_proxy_response_is_a_502(stack, answer):
    assert problem(stack.call(json={"answer": answer})) == (502, "Failed")


def test_a_function_over_its_time_or_its_memory_is_a_502_and_starts_afresh(stack):
    assert problem(stack.call(json={"sleep": 30})) == (502, "Failed")
    assert stack.call().json()["calls"] == 1
    assert problem(stack.call(json={"allocate": 200})) == (502, "Failed")
    assert stack.call().json()["calls"] == 1


def test_an_integration_over_its_time_is_a_504(stack):
    assert problem(stack.call("/hurried", json={"sleep": 2})) == (504, "Too slow")


@pytest.mark.parametrize("megabytes", [7, 11])
def test_requests_over_lambdas_and_the_gateways_size_are_413(stack, megabytes):
    body = b'"' + b"x" * (megabytes * 1024 * 1024) + b'"'
    assert problem(stack.call(content=body)) == (413, "Too large")


def test_an_answer_over_6_mb_is_a_502(stack):
    assert problem(stack.call(json={"size": 6_291_556})) == (502, "Failed")
    assert len(stack.call(json={"size": 6_000_000}).content) == 6_000_000


def test_binary_bodies_go_both_ways_by_the_first_accepted_type(stack):
    body = bytes(range(256))
    binary = {"content-type": "application/octet-stream"}
    wanted = stack.call(content=body, headers=binary | {"accept": "application/octet-stream, */*"})
    assert wanted.content == body[::-1]
    unwanted = stack.call(content=body, headers=binary | {"accept": "*/*, application/octet-stream"})
    assert unwanted.content != body[::-1]


def test_headers_that_the_gateway_keeps_to_itself_are_renamed_or_dropped(stack):
    headers = {"WWW-Authenticate": "Bearer", "Via": "us", "Retry-After": "3"}
    answer = stack.call(json={"answer": {"statusCode": 401, "headers": headers, "body": ""}})
    assert answer.headers["x-amzn-remapped-www-authenticate"] == "Bearer"
    assert answer.headers["retry-after"] == "3"
    assert not {"www-authenticate", "via"} & set(answer.headers)


def test_a_function_that_does_not_permit_the_gateway_is_not_called(stack):
    assert problem(stack.call("/closed")) == (500, "Failed")


def test_a_change_is_served_only_once_it_is_deployed(stack):
    gateway, api = stack.client("apigateway"), stack.outputs["Api"]
    resources = {
        item["path"]: item["id"] for item in gateway.get_resources(restApiId=api, limit=500)["items"]
    }
    gateway.delete_method(restApiId=api, resourceId=resources["/closed"], httpMethod="POST")
    assert stack.call("/closed").status_code == 500
    deployment = gateway.create_deployment(restApiId=api)["id"]
    change = {"op": "replace", "path": "/deploymentId", "value": deployment}
    gateway.update_stage(restApiId=api, stageName="prod", patchOperations=[change])
    assert stack.call("/closed").status_code == 404


def test_concurrent_calls_get_environments_of_their_own(stack):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: stack.call(json={"sleep": 0.5}), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


def test_key_values_are_shown_only_on_demand(stack):
    gateway, key = stack.client("apigateway"), stack.outputs["KeyWide"]
    assert "value" not in gateway.get_api_key(apiKey=key)
    assert all("value" not in item for item in gateway.get_api_keys()["items"])
    assert gateway.get_api_key(apiKey=key, includeValue=True)["value"]
