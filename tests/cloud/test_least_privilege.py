"""With IAM enforced everything passes, and each function fails when its one grant is taken away."""

import base64
import json

import pytest
from server import running

from functions.billing.claims import read_proof
from functions.metering.signing import is_signed
from functions.metering.usage import month_span


@pytest.fixture(scope="module")
def strict(tools, make_cloud):
    with running(tools, enforce_iam=True) as aws:
        cloud = make_cloud(aws, on_s3=("sentiment",))
        cloud.deploy()
        yield cloud


@pytest.fixture(scope="module")
def key(strict):
    return strict.issue()


def without(cloud, start, action):
    """Take one action away from the role whose name says `start`; gives how to give it back."""
    iam = cloud.client("iam")
    names = [
        role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]
    ]
    (name,) = [name for name in names if start in name]
    policy = iam.get_role_policy(RoleName=name, PolicyName="rights")["PolicyDocument"]
    policy = json.loads(policy) if isinstance(policy, str) else policy
    allowed = []
    for statement in policy["Statement"]:
        actions = statement["Action"]
        left = [one for one in ([actions] if isinstance(actions, str) else actions) if one != action]
        if statement["Effect"] == "Deny" or left:
            allowed.append(statement if statement["Effect"] == "Deny" else {**statement, "Action": left})
    assert allowed != policy["Statement"]

    def put(statements):
        document = json.dumps({**policy, "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=document)

    put(allowed)
    return lambda: put(policy["Statement"])


def test_a_model_that_may_not_be_read_or_is_not_what_was_published_is_not_served(strict, key):
    """The first calls of all, as what is loaded once stays loaded."""
    s3, place = strict.client("s3"), {"Bucket": strict.outputs["ModelsBucket"]}
    place["Key"] = "models/sentiment/1/model.tflite"
    data = s3.get_object(**place)["Body"].read()
    with strict.http(key["key"]) as http:

        def refused():
            answer = strict.predict(http)
            return answer.status_code, answer.json()["type"]

        give_back = without(strict, "PredictsentimentRole", "s3:GetObject")
        assert refused() == (500, "urn:payphone:problem:internal")
        give_back()
        s3.put_object(**place, Body=data[:-1] + bytes([data[-1] ^ 1]))
        assert refused() == (500, "urn:payphone:problem:internal")
        s3.put_object(**place, Body=data)
        assert strict.predict(http).status_code == 200
    assert len(strict.rows(key["key_id"])) == 1


def test_everything_passes_with_the_rights_there_are(strict, key):
    with strict.http(key["key"]) as http:
        answer = strict.predict(http)
        assert answer.status_code == 200, answer.text
        assert http.get("/v1/models").json()["models"]
        assert http.get("/docs").status_code == 200
        strict.eventually(lambda: strict.archived(key["key_id"]))
        strict.eventually(lambda: http.get("/v1/usage").json()["calls"] == 2)
    sealed = strict.client("lambda").invoke(FunctionName=function(strict, "Seal"))
    assert "FunctionError" not in sealed, sealed["Payload"].read()


def function(cloud, start):
    found = cloud.client("lambda").list_functions()["Functions"]
    (name,) = [one["FunctionName"] for one in found if start in one["FunctionName"]]
    return name


@pytest.mark.parametrize(
    ("role", "action", "kind"),
    [
        ("PredictsentimentRole", "dynamodb:PutItem", "ledger-unavailable"),
        ("PredictsentimentRole", "dynamodb:GetItem", "access-unavailable"),
    ],
)
def test_a_call_without_the_right_to_record_it_is_not_answered(strict, role, action, kind):
    key = strict.issue()
    give_back = without(strict, role, action)
    try:
        with strict.http(key["key"]) as http:
            refused = strict.predict(http)
            assert (refused.status_code, refused.json()["type"]) == (503, f"urn:payphone:problem:{kind}")
    finally:
        give_back()
    with strict.http(key["key"]) as http:
        assert strict.predict(http).status_code == 200
    assert len(strict.rows(key["key_id"])) == 1


@pytest.mark.parametrize(
    ("action", "path"),
    [
        ("dynamodb:GetItem", "/v1/usage"),
        ("dynamodb:Query", "/v1/keys"),
        ("s3:GetObject", "/v1/usage"),
        ("s3:GetObject", "/v1/models/sentiment"),
        ("s3:ListBucket", "/v1/usage"),
    ],
)
def test_the_control_plane_without_one_of_its_rights(strict, key, action, path):
    fresh = strict.issue(customer=key["customer"])  # one that nothing is remembered of
    with strict.http(fresh["key"]) as http:
        give_back = without(strict, "ControlRole", action)
        try:
            assert http.get(path).status_code >= 500
        finally:
            give_back()
        assert http.get(path).status_code == 200


def test_the_meter_without_the_right_to_write_loses_nothing(strict, key):
    give_back = without(strict, "MeterRole", "s3:PutObject")
    with strict.http(key["key"]) as http:
        call = strict.predict(http).json()["usage"]["call_id"]

    def mapping():
        client = strict.client("lambda")
        return client.list_event_source_mappings()["EventSourceMappings"][0]["LastProcessingResult"]

    strict.eventually(lambda: mapping() == "FAILED")
    give_back()
    strict.eventually(
        lambda: (
            call in {row["call_id"] for row in strict.archived(key["key_id"])}
            or strict.objects("aws/lambda/")
        )
    )


def test_the_seal_without_one_of_its_rights_does_the_rest_another_night(strict, key):
    """On a call of a month that is over: what was done before a right was missing is not done again."""
    dynamodb, table = strict.client("dynamodb"), strict.outputs["LedgerTable"]
    row = strict.rows(key["key_id"])[0]
    old = row | {"call_id": {"S": "gw:old"}, "started_at": {"N": str(month_span("2026-01")[0])}}
    dynamodb.put_item(TableName=table, Item=old)
    strict.eventually(lambda: strict.names("usage/day=2026-01-01/"))
    seal = function(strict, "Seal")

    def run():
        answer = strict.client("lambda").invoke(FunctionName=seal)
        return "FunctionError" in answer, json.loads(answer["Payload"].read())

    needed = ("s3:ListBucket", "s3:GetObject", "kms:GetPublicKey", "kms:Sign", "s3:PutObject")
    for action in (*needed, "dynamodb:Scan", "dynamodb:UpdateItem"):
        give_back = without(strict, "SealRole", action)
        failed, said = run()
        give_back()
        assert failed, (action, said)
    assert run() == (False, {"days": [], "months": [], "ledger_has_more": {}, "moved": 0})
    assert strict.names("seals/index/2026-01/2026-01-01.json")
    held = dynamodb.get_item(TableName=table, Key={"call_id": {"S": "gw:old"}})["Item"]
    assert int(held["expires_at"]["N"]) > 0
    with strict.http(key["key"]) as http:
        proof = http.get("/v1/receipts/gw:old", params={"day": "2026-01-01"}).json()
        (listed,) = http.get("/v1/sealing-keys").json()["keys"]
    assert proof["seal"]["key"] == listed["id"]
    verdict = read_proof(proof)
    assert verdict.root == verdict.head.root
    signed = verdict.head.signed()
    assert is_signed(listed["public_key"], verdict.head.signature, signed)
    public = strict.client("kms").get_public_key(KeyId=strict.outputs["SealingKey"])["PublicKey"]
    assert public[-32:] == base64.b64decode(listed["public_key"])


def test_a_call_is_pending_until_its_day_is_sealed_and_is_its_customers_alone(strict, key):
    other = strict.issue()
    with strict.http(key["key"]) as http, strict.http(other["key"]) as stranger:
        answer = strict.predict(http)
        call, receipt = (answer.headers[name] for name in ("payphone-call-id", "payphone-receipt"))
        said = http.get(f"/v1/receipts/{call}").json()
        assert (said["status"], said["receipt"]) == ("pending", receipt)
        unknown = stranger.get(f"/v1/receipts/{call}")
        assert (unknown.status_code, unknown.json()["type"]) == (
            404,
            "urn:payphone:problem:receipt-not-found",
        )


def test_a_held_call_needs_the_right_to_hold_and_no_more(strict):
    """Its transaction is no action of IAM's own: it takes those of its items, each on its table."""
    key = strict.issue("counted")
    give_back = without(strict, "PredictsentimentRole", "dynamodb:UpdateItem")
    try:
        with strict.http(key["key"]) as http:
            refused = strict.predict(http)
            assert (refused.status_code, refused.json()["type"]) == (
                503,
                "urn:payphone:problem:ledger-unavailable",
            )
    finally:
        give_back()
    with strict.http(key["key"]) as http:
        assert [strict.predict(http).status_code for _ in range(2)] == [200, 200]
        assert http.get("/v1/wallet").json()["limits"][0]["used"] == "2"
    assert len(strict.rows(key["key_id"])) == 2


def test_webhooks_are_told_with_the_rights_there_are(strict):
    strict.run("webhook", "add", "https://hooks.invalid/", "--stage", strict.stage)
    notify = function(strict, "Notify")
    give_back = without(strict, "NotifyRole", "ssm:GetParameter")

    def said():
        told = strict.client("lambda").invoke(FunctionName=notify)
        assert "FunctionError" not in told, told["Payload"].read()
        (delivery,) = strict.run("webhook", "list", "--stage", strict.stage)["deliveries"]
        return delivery["said"]

    try:
        assert "its secret can't be read" in said()
    finally:
        give_back()
    strict.eventually(lambda: "can't be resolved" in said())


def test_no_function_may_read_the_value_of_a_key(strict):
    """Not even where another policy would grant it."""
    iam = strict.client("iam")
    names = [
        role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]
    ]
    ours = [name for name in names if name.startswith("payphone-test")]
    assert len(ours) == 6
    for name in ours:
        answer = iam.get_role_policy(RoleName=name, PolicyName="rights")["PolicyDocument"]
        policy = json.loads(answer) if isinstance(answer, str) else answer
        denied = [one for one in policy["Statement"] if one["Effect"] == "Deny"]
        assert [one["Action"] for one in denied] == ["apigateway:GET"]


def test_destroying_it_keeps_what_invoices_are_made_of(strict):
    rows = len(strict.client("dynamodb").scan(TableName=strict.outputs["LedgerTable"])["Items"])
    done = strict.run("destroy", "--yes")
    assert set(done["kept"]) == {
        strict.outputs[name]
        for name in (
            "LedgerTable",
            "AccountsTable",
            "WebhooksTable",
            "AccessTable",
            "CustomersTable",
            "ArchiveBucket",
            "ModelsBucket",
        )
    }
    assert not strict.client("lambda").list_functions()["Functions"]
    assert not strict.client("apigateway").get_usage_plans()["items"]
    assert not strict.client("apigateway").get_api_keys()["items"]
    assert len(strict.client("dynamodb").scan(TableName=strict.outputs["LedgerTable"])["Items"]) == rows > 0
    assert strict.run("destroy", "--yes", "--with-data")["kept"] == []
    assert not [n for n in strict.client("dynamodb").list_tables()["TableNames"] if "payphone" in n]
    assert not [b for b in strict.client("s3").list_buckets()["Buckets"] if "payphone" in b["Name"]]
    key = strict.client("kms").describe_key(KeyId=strict.outputs["SealingKey"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"
    assert strict.command("destroy", "--yes").returncode == 1
