"""The whole stage: it synthesizes, which cdk-nag must have nothing against, and holds what it promises."""

import json

import pytest

from functions.calls.problems import Problem
from functions.metering.accesslog import AccessRecord


def test_fifty_models_stay_within_the_limits(stage):
    many = stage({f"model-{number}": "1" for number in range(50)})
    counts = {part: len(template["Resources"]) for part, template in many.templates.items()}
    assert max(counts.values()) <= 500, counts
    assert len(many.of_type("ApiGateway::Resource")) <= 300
    assert len(many.of_type("Lambda::Alias")) == 50


def statements(role):
    return [
        statement
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def test_every_role_is_denied_the_values_of_keys(plain):
    roles = plain.of_type("IAM::Role")
    assert len(roles) == 6
    for role in roles.values():
        (denied,) = [entry for entry in statements(role) if entry["Effect"] == "Deny"]
        assert denied["Action"] == "apigateway:GET"
        assert [json.dumps(one)[-30:] for one in denied["Resource"]] == [
            json.dumps(one)[-30:] for one in denied["Resource"] if "/apikeys" in json.dumps(one)
        ]
    assert not plain.of_type("IAM::Policy")
    assert not plain.of_type("ApiGateway::ApiKey")


@pytest.mark.parametrize(
    ("start", "allowed"),
    [
        ("PredictsentimentRole", {"dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:UpdateItem"}),
        ("ControlRole", {"dynamodb:GetItem", "dynamodb:Query", "s3:ListBucket", "s3:GetObject"}),
        (
            "NotifyRole",
            {
                *("dynamodb:Scan", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"),
                *("dynamodb:DeleteItem", "ssm:GetParameter"),
            },
        ),
        (
            "SealRole",
            {
                *("dynamodb:Scan", "dynamodb:UpdateItem", "s3:GetObject", "s3:PutObject", "s3:ListBucket"),
                *("kms:Sign", "kms:GetPublicKey"),
            },
        ),
    ],
)
def test_a_role_has_the_rights_of_its_function_and_no_others(plain, start, allowed):
    (role,) = [body for name, body in plain.of_type("IAM::Role").items() if name.startswith(start)]
    actions = set()
    for entry in statements(role):
        if entry["Effect"] == "Allow":
            actions |= {entry["Action"]} if isinstance(entry["Action"], str) else set(entry["Action"])
            assert entry["Resource"] != "*"
    assert actions == allowed | {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_what_money_depends_on_is_retained_encrypted_and_recoverable(plain):
    tables, buckets = plain.of_type("DynamoDB::Table"), plain.of_type("S3::Bucket")
    assert (len(tables), len(buckets)) == (5, 2)
    for table in tables.values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert table["Properties"]["DeletionProtectionEnabled"]
    for bucket in buckets.values():
        assert bucket["DeletionPolicy"] == "Retain"
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
        assert bucket["Properties"]["BucketEncryption"]
    for policy in plain.of_type("S3::BucketPolicy").values():
        denials = json.dumps(policy["Properties"]["PolicyDocument"])
        assert '"aws:SecureTransport": "false"' in denials
    ledger = plain.one("DynamoDB::Table", "Ledger")
    assert ledger["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_a_key_of_ones_own_encrypts_everything(stage):
    own = stage({"sentiment": "1"}, customer_managed_key=True)
    specs = [key["Properties"].get("KeySpec") for key in own.of_type("KMS::Key").values()]
    assert sorted(map(str, specs)) == ["ECC_NIST_EDWARDS25519", "None"]  # the one that signs, and the own one
    for table in own.of_type("DynamoDB::Table").values():
        assert table["Properties"]["SSESpecification"]["SSEType"] == "KMS"
    for bucket in own.of_type("S3::Bucket").values():
        assert "aws:kms" in json.dumps(bucket["Properties"]["BucketEncryption"])
    for group in own.of_type("Logs::LogGroup").values():
        assert group["Properties"]["KmsKeyId"]


def test_logs_are_kept_as_long_as_the_settings_say(stage):
    kept = stage({"sentiment": "1"}, log_retention_days=545)
    days = [group["Properties"]["RetentionInDays"] for group in kept.of_type("Logs::LogGroup").values()]
    assert days == [545] * 5


def test_only_documentation_and_health_need_no_key(plain):
    paths = {}
    resources = plain.of_type("ApiGateway::Resource")

    def path(reference):
        name = reference.get("Ref")
        if name is None:
            return ""
        body = resources[name]["Properties"]
        return f"{path(body['ParentId'])}/{body['PathPart']}"

    for method in plain.of_type("ApiGateway::Method").values():
        properties = method["Properties"]
        paths[path(properties["ResourceId"])] = properties.get("ApiKeyRequired", False)
    assert sorted(name for name, keyed in paths.items() if not keyed) == [
        "/docs",
        "/openapi.json",
        "/static-offline-docs/{proxy+}",
        "/v2",
        "/v2/health/{proxy+}",
    ]
    assert {"", "/{proxy+}", "/v1/models/sentiment/{proxy+}", "/v2/models/sentiment/{proxy+}"} <= set(paths)


def test_the_gateways_own_answers_are_problem_documents(plain):
    ours = Problem("throttled", "Wait 1 s, then send calls more slowly.").document("an id")
    answers = {
        body["Properties"]["ResponseType"]: body["Properties"]
        for body in plain.of_type("ApiGateway::GatewayResponse").values()
    }
    for answer in answers.values():
        document = json.loads(answer["ResponseTemplates"]["application/json"])
        assert document.keys() == {*ours, "error"}
        assert str(document["status"]) == answer["StatusCode"]
        assert document["instance"] == "urn:payphone:request:$context.extendedRequestId"
        headers = answer["ResponseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        assert headers["gatewayresponse.header.x-request-id"] == "context.extendedRequestId"
    throttled = json.loads(answers["THROTTLED"]["ResponseTemplates"]["application/json"])
    assert {**throttled, "instance": ours["instance"]} == {**ours, "error": ours["detail"]}
    statuses = {name: answer["StatusCode"] for name, answer in answers.items()}
    assert statuses["INVALID_API_KEY"] == "401"
    assert statuses["REQUEST_TOO_LARGE"] == "413"
    assert statuses["INTEGRATION_TIMEOUT"] == "504"


def test_the_access_log_has_the_fields_of_an_access_record(plain):
    stage = plain.one("ApiGateway::Stage", "Api")
    line = stage["AccessLogSetting"]["Format"]
    for name in ("requestTimeEpoch", "status", "responseLength", "responseLatency"):
        line = line.replace(f"$context.{name}", "1")
    record = json.loads(line)
    assert record.keys() == {*AccessRecord._fields, "resource", "error"}
    assert record["attempt_id"] == "$context.extendedRequestId"
    assert record["request_id"] == "$context.requestId"
    stream = plain.one("KinesisFirehose::DeliveryStream", "AccessLog")
    assert stream["DeliveryStreamName"] == "amazon-apigateway-payphone-prod"
    assert stream["ExtendedS3DestinationConfiguration"]["Prefix"] == "access-log/"


def test_a_stage_with_everything_that_can_be_asked_for(stage):
    full = stage(
        {"sentiment": "1"},
        domain="api.example.com",
        certificate="arn:aws:acm:eu-central-1:123456789012:certificate/1",
        web_acl="arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/a/b",
        alarms_to="ops@example.com",
        models={"sentiment": {"memory": 2048, "artifact": "s3", "reserved_concurrency": 7}},
    )
    function = full.one("Lambda::Function", "Predictsentiment")
    assert (function["MemorySize"], function["ReservedConcurrentExecutions"]) == (2048, 7)
    assert len(function["Layers"]) == 1
    artifact = json.dumps(function["Environment"]["Variables"]["PAYPHONE_ARTIFACT"])
    assert '"s3://"' in artifact
    assert "/models/sentiment/1" in artifact
    assert full.one("ApiGateway::RestApi", "Api")["DisableExecuteApiEndpoint"]
    assert full.one("WAFv2::WebACLAssociation", "Firewall")
    for alarm in full.of_type("CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"]


def test_a_model_may_run_under_aws_runtime_client(stage):
    made = stage({"sentiment": "1"}, models={"sentiment": {"runtime_client": "aws"}})
    function = made.one("Lambda::Function", "Predictsentiment")
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in function["Environment"]["Variables"]


def test_a_model_may_start_from_a_snapshot_or_be_kept_started(stage):
    plain, snapshot, kept = (
        stage({"sentiment": "1"}, models={"sentiment": settings})
        for settings in ({}, {"snap_start": True}, {"provisioned_concurrency": 2})
    )
    on = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    for made, starts, warm in ((plain, {}, None), (snapshot, on, None), (kept, {}, 2)):
        function = made.one("Lambda::Function", "Predictsentiment")
        assert {name: function[name] for name in ("SnapStart",) if name in function} == starts
        variables = function["Environment"]["Variables"]
        assert variables.get("AWS_LAMBDA_EXEC_WRAPPER") == (None if starts else "/var/task/start")
        alias = made.one("Lambda::Alias", "Aliassentiment")
        assert alias.get("ProvisionedConcurrencyConfig") == (
            {"ProvisionedConcurrentExecutions": warm} if warm else None
        )
