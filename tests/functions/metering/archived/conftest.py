"""An archive bucket of its own for each test, in an S3 on this machine, read and written over the wire."""

import itertools
import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.access.dynamodb import plan_item
from functions.access.keys import Plan
from functions.aws.s3 import Bucket
from functions.aws.service import dynamodb_in
from functions.metering.archive import Archive, Recorded
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.event import UsageEvent
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.metering.signing import FolderSigner

REGION = "eu-west-1"
NOON = 1_795_435_200_000  # 2026-11-23T12:00:00Z


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
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("PAYPHONE_STAGE", "test")
    monkeypatch.setenv("PAYPHONE_ACCESS_TABLE", "access")  # where they are not there, nothing is counted
    monkeypatch.setenv("PAYPHONE_ACCOUNTS_TABLE", "accounts")
    return monkeypatch


@pytest.fixture
def s3(aws):
    """The bucket as boto3 has it: what others see of ours."""
    bucket = boto3.resource("s3").Bucket(f"archive-{time.time_ns()}")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.setenv("PAYPHONE_ARCHIVE_BUCKET", bucket.name)
    yield bucket
    bucket.objects.delete()
    bucket.delete()


@pytest.fixture
def archive(s3):
    return Archive(Bucket(s3.name, REGION))


@pytest.fixture
def seals(archive):
    return Seals(archive.bucket)


@pytest.fixture
def sealer(seals, archive, tmp_path):
    return Sealer(seals, archive, FolderSigner(tmp_path / "sealing-keys"))


@pytest.fixture
def ledger_table(aws):
    table = boto3.resource("dynamodb").create_table(
        TableName=f"ledger-{time.time_ns()}",
        KeySchema=[{"AttributeName": "call_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "call_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.setenv("PAYPHONE_LEDGER_TABLE", table.name)
    yield table
    table.delete()


@pytest.fixture
def soft_limits(aws):
    """The tables that soft limits are counted by, with a plan that has one: a quota of calls."""
    made = []
    for name, keys in {"access": ["id"], "accounts": ["account", "entry"]}.items():
        made.append(
            boto3.resource("dynamodb").create_table(
                TableName=name,
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind}
                    for key, kind in zip(keys, ["HASH", "RANGE"], strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                BillingMode="PAY_PER_REQUEST",
            )
        )
    plan = Plan("starter", "starter@01", 0, 0, 9, "", '[{"alert_at":[50],"quota":9,"since":0}]')
    boto3.client("dynamodb").put_item(TableName="access", Item=plan_item(plan, "usage-plan"))
    yield DynamoDbAccounts("accounts", dynamodb_in(REGION))
    for table in made:
        table.delete()


@pytest.fixture
def make_row():
    numbers = itertools.count(1)

    def make(name="", at=NOON, **fields):
        name = name or f"a{next(numbers)}"
        return UsageEvent(
            f"gw:{name}", (name,), "key_1", "cus_a", "starter@01", "sentiment", "1", "predict", 2, 40, at, ""
        )._replace(**fields)

    return make


@pytest.fixture
def record():
    """Rows as stream records, numbered as they come."""
    numbers = itertools.count(100)
    return lambda rows: [Recorded(str(next(numbers)), row) for row in rows]
