"""A stage found by its outputs, and what its stores hold."""

import gzip
import json
import time

import boto3
import pytest

from functions.billing.plans import Plan
from functions.metering.archive import ArchiveDamaged, Recorded
from functions.metering.dynamodb import _item
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span
from infra.cloud.rebuild import rebuild
from infra.cloud.stage import Operator, Stage
from infra.rollout import NotDeployed
from infra.target import Target

NOON = 1_795_435_200_000
NOVEMBER = month_span("2026-11")


def row(number):
    return UsageEvent(
        f"gw:a{number}", (f"a{number}",), "key_1", "cus_a", "starter@01", "sentiment", "1", "predict",
        2, 40, NOON + number, "",
    )  # fmt: skip


@pytest.fixture
def stage(aws, make_table, usage_plans):
    access, customers = make_table("customer"), make_table()
    bucket = boto3.resource("s3").Bucket(f"stage-{time.time_ns()}")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    outputs = {
        "ApiId": "api1",
        "ApiUrl": "https://api.example.com/test/",
        "AccessTable": access.name,
        "CustomersTable": customers.name,
        "ArchiveBucket": bucket.name,
        "ModelsBucket": bucket.name,
        "PlanIds": json.dumps(usage_plans),
    }
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    formation = boto3.client("cloudformation")
    formation.create_stack(StackName="payphone-test", TemplateBody=json.dumps(template))
    yield Stage(Target("test", "eu-west-1", "3.13", "x86_64", True))
    formation.delete_stack(StackName="payphone-test")
    bucket.objects.delete()
    bucket.delete()


def test_a_stage_that_is_not_there_says_so(aws):
    with pytest.raises(NotDeployed, match="payphone deploy"):
        Stage(Target("nowhere", "eu-west-1", "3.13", "x86_64", True))


def test_its_stores_work(stage):
    assert stage.url.endswith("/restapis/api1/test/_user_request_")  # moto is a local AWS
    assert stage.registry().models() == []
    plan = Plan(name="starter", currency="USD", price_per_call="0.002")
    version = stage.plan_book().publish(plan)
    assert stage.plan_book().get(version) == plan
    ada = stage.customers().add("Ada", "ada@example.com")
    from infra.plans import limits_of

    keys = stage.keys()
    keys.set_plan(limits_of(plan))
    _, record = keys.issue(ada.customer_id, "starter")
    assert [found.key_id for found in stage.keys().list()] == [record.key_id]


def test_usage_is_read_with_the_operators_own_credentials(stage, aws):
    stage.archive().write([Recorded("1", row(1))])
    assert list(stage.usage().rows(*NOVEMBER)) == [row(1)]
    aws.setenv("AWS_SESSION_TOKEN", "token")
    assert Operator().current().token == "token"


def test_the_archive_is_rebuilt_from_an_export(stage):
    archive = stage.archive()
    archive.write([Recorded("1", row(1))])
    lines = "".join(f'{{"Item":{{{_item(row(n))}}}}}\n' for n in range(1, 4))
    archive.bucket.put("exports/AWSDynamoDB/01-ab/data/one.json.gz", gzip.compress(lines.encode()))
    archive.bucket.put("exports/AWSDynamoDB/01-ab/manifest-summary.json", b"{}")
    for _ in range(2):
        assert rebuild(archive, "exports/AWSDynamoDB/01-ab") == (3, ())
        assert list(stage.usage().rows(*NOVEMBER)) == [row(1), row(2), row(3)]


def test_what_is_no_row_is_told_of_and_stops_no_other(stage):
    archive = stage.archive()
    lines = f'{{"Item":{{"call_id":{{"S":"gw:a1"}}}}}}\n[]\n{{"Item":{{{_item(row(1))}}}}}\n'
    archive.bucket.put("exports/x/data/one.json.gz", gzip.compress(lines.encode()))
    wrong = ("exports/x/data/one.json.gz:1", "exports/x/data/one.json.gz:2")
    assert rebuild(archive, "exports/x/") == (1, wrong)
    assert list(stage.usage().rows(*NOVEMBER)) == [row(1)]


@pytest.mark.parametrize("data", [None, b"no gzip"])
def test_what_is_no_export_changes_nothing(stage, data):
    archive = stage.archive()
    if data:
        archive.bucket.put("exports/x/data/one.json.gz", data)
    with pytest.raises(ArchiveDamaged, match="exports/x"):
        rebuild(archive, "exports/x/")
    assert archive.days() == []
