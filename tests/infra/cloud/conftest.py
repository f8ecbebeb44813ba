"""A stage's tables, bucket and usage plans, in an AWS on this machine."""

import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"


@pytest.fixture(scope="session")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def aws(moto, monkeypatch):
    for name in ("AWS_CA_BUNDLE", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return monkeypatch


@pytest.fixture
def make_table(aws):
    made = []

    def make(*index):
        attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", *index)]
        indexes = [
            {
                "IndexName": f"by-{name}",
                "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
            for name in index
        ]
        table = boto3.resource("dynamodb").create_table(
            TableName=f"table-{len(made)}-{time.time_ns()}",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=attributes,
            BillingMode="PAY_PER_REQUEST",
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        )
        made.append(table)
        return table

    yield make
    for table in made:
        table.delete()


@pytest.fixture
def usage_plans(aws):
    """Ids at the gateway by plan name."""
    client = boto3.client("apigateway")
    plans = {name: client.create_usage_plan(name=name)["id"] for name in ("starter", "pro")}
    yield plans
    for plan in plans.values():
        client.delete_usage_plan(usagePlanId=plan)
