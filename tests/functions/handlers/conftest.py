"""AWS as moto has it, over HTTP on this machine, and events as API Gateway hands them over."""

import base64
import importlib
import io
import itertools
import json
import sys
import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.access.dynamodb import plan_item, record_item
from functions.access.keys import KeyRecord, Plan

REGION = "eu-west-1"
PLAN = Plan("starter", "starter@0123456789ab", 10.0, 20, 100)


@pytest.fixture(scope="session")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def aws(moto, monkeypatch):
    """The environment of a function; each test has tables and buckets of its own."""
    for name in ("AWS_CA_BUNDLE", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("PAYPHONE_STAGE", "test")
    return monkeypatch


@pytest.fixture
def ledger_table(aws):
    yield from _table(aws, "PAYPHONE_LEDGER_TABLE", "call_id")


@pytest.fixture
def access_table(aws):
    for table in _table(
        aws,
        "PAYPHONE_ACCESS_TABLE",
        "id",
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "customer", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-customer",
                "KeySchema": [{"AttributeName": "customer", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    ):
        table.meta.client.put_item(TableName=table.name, Item=_plain(plan_item(PLAN, "plan-id")))
        yield table


@pytest.fixture
def put_key(access_table):
    """Write the record of a gateway key, as `infra/cloud` does."""

    def put(gateway_id="gw1", **fields):
        record = KeyRecord("key_1", "digest", "cus_a", PLAN, (), int(time.time() * 1000))._replace(**fields)
        access_table.put_item(Item=_plain(record_item(record, gateway_id)))
        return record

    return put


@pytest.fixture
def make_bucket(aws):
    made = []

    def make(variable):
        client = boto3.client("s3")
        name = f"bucket-{len(made)}-{time.time_ns()}"
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        aws.setenv(variable, name)
        made.append(name)
        return boto3.resource("s3").Bucket(name)

    yield make
    for name in made:
        bucket = boto3.resource("s3").Bucket(name)
        bucket.objects.delete()
        bucket.delete()


@pytest.fixture
def load():
    """Import a handler afresh, in the environment of this moment."""
    loaded = []

    def load_one(name):
        module = f"functions.handlers.{name}"
        sys.modules.pop(module, None)
        loaded.append(module)
        found = importlib.import_module(module)
        if hasattr(found, "_logger"):
            found._logger.registered_handler.setStream(io.StringIO())  # it would hold on to its first stdout
        return found

    yield load_one
    for module in loaded:
        sys.modules.pop(module, None)


@pytest.fixture
def make_event():
    numbers = itertools.count(1)

    def make(method, path, body=b"", *, key="gw1", stage="test", text=False, **headers):
        number = next(numbers)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Forwarded-Proto": "https"} | {
            name.replace("_", "-").title(): value for name, value in headers.items()
        }
        return {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": {"proxy": path[1:]},
            "stageVariables": None,
            "requestContext": {
                "path": f"/{stage}{path}",
                "stage": stage,
                "requestId": f"00000000-0000-0000-0000-{number:012}",
                "extendedRequestId": f"attempt{number}=",
                "requestTimeEpoch": 1_800_000_000_000 + number,
                "identity": {"apiKeyId": key, "sourceIp": "192.0.2.1"} if key else {"sourceIp": "192.0.2.1"},
            },
            "body": (body.decode() if text else base64.b64encode(body).decode()) if body else None,
            "isBase64Encoded": bool(body) and not text,
        }

    return make


def _table(aws, variable, key, **more):
    dynamodb = boto3.resource("dynamodb")
    name = f"{key}-{time.time_ns()}"
    table = dynamodb.create_table(
        **{
            "TableName": name,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            **more,
        }
    )
    aws.setenv(variable, name)
    yield table
    table.delete()


def _plain(item):
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}
