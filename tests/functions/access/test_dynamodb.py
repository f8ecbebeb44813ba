"""Key records as a function reads them, from a table of moto's, written as the operator writes them."""

import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.access import dynamodb
from functions.access.dynamodb import GatewayKeys, plan_item, plan_of, record_item, record_of
from functions.access.keys import KeyRecord, LookupUnavailable, Plan
from functions.aws.service import dynamodb_in

REGION = "eu-west-1"
PLAN = Plan("starter", "starter@01", 0.5, 20, 100)


@pytest.fixture(scope="session")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def table(moto, monkeypatch):
    for name in ("AWS_CA_BUNDLE", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    client = boto3.client("dynamodb", REGION)
    client.create_table(
        TableName="access",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("id", "customer")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": dynamodb.BY_CUSTOMER,
                "KeySchema": [{"AttributeName": "customer", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    client.put_item(TableName="access", Item=plan_item(PLAN, "usage-plan"))
    yield client
    client.delete_table(TableName="access")


@pytest.fixture
def put(table):
    def put_record(gateway_id="gw1", **fields):
        record = KeyRecord("key_1", "digest", "cus_a", PLAN, ("b", "a"), 1, 2, 3)._replace(**fields)
        table.put_item(TableName="access", Item=record_item(record, gateway_id))
        return record

    return put_record


@pytest.fixture
def open_keys(table):
    """A reader, and the operations it sent."""

    def make(cache_seconds=5.0):
        keys = GatewayKeys("access", dynamodb_in(REGION), cache_seconds)
        sent, start = [], keys._service.start
        keys._service.start = lambda operation, *rest: sent.append(operation) or start(operation, *rest)
        return keys, sent

    return make


def test_items_and_back():
    record = KeyRecord("key_1", "digest", "cus_a", PLAN, ("b", "a"), 1, 2, 3)
    assert record_of(record_item(record, "gw1"), PLAN) == record
    assert plan_of(plan_item(PLAN, "usage-plan")) == PLAN


def test_a_record_is_read_once_while_it_is_fresh(put, open_keys, monkeypatch):
    now = time.time()
    monkeypatch.setattr(dynamodb, "time", lambda: now)
    keys, sent = open_keys()
    record = put()
    assert keys.find("gw1") == keys.find("gw1") == record
    assert sent == ["GetItem", "GetItem"]  # the record and its plan
    revoked = put(revoked_at=9)
    now += 4.9
    assert keys.find("gw1") == record
    now += 0.2
    assert keys.find("gw1") == revoked


def test_keys_of_a_plan_share_it(put, open_keys):
    keys, sent = open_keys()
    put("gw1")
    put("gw2", key_id="key_2")
    assert keys.find("gw1").plan == keys.find("gw2").plan == PLAN
    assert len(sent) == 3


def test_a_record_that_comes_later_is_seen_at_once(put, open_keys):
    keys, _ = open_keys()
    assert keys.find("gw1") is None
    record = put()
    assert keys.find("gw1") == record


def test_no_id_is_no_look_up(open_keys):
    keys, sent = open_keys()
    assert keys.find("") is None
    assert sent == []


def test_the_cache_is_bounded(put, open_keys, monkeypatch):
    monkeypatch.setattr(dynamodb, "CACHED", 2)
    keys, _ = open_keys()
    for number in range(5):
        put(f"gw{number}", key_id=f"key_{number}")
        assert keys.find(f"gw{number}").key_id == f"key_{number}"
    assert len(keys._records) <= 2


def test_records_of_a_customer_page_by_page(put, open_keys):
    keys, sent = open_keys()
    records = [put(f"gw{n}", key_id=f"key_{n}", created_at=9 - n) for n in range(4)]
    put("gw9", customer="cus_b")
    answer = keys._answer
    keys._answer = lambda operation, body: answer(
        operation, body.replace("{", '{"Limit":1,', 1) if operation == "Query" else body
    )
    assert keys.of_customer("cus_a") == records[::-1]
    assert sent.count("Query") >= 4
    assert keys.of_customer("cus_none") == []


@pytest.mark.parametrize("missing", ["digest", "models", "created_at"])
def test_what_is_no_record_lets_nobody_in(table, put, open_keys, missing):
    item = record_item(put(), "gw1")
    del item[missing]
    table.put_item(TableName="access", Item=item)
    with pytest.raises(LookupUnavailable, match="something else than a key record"):
        open_keys()[0].find("gw1")


def test_a_key_without_its_plan_lets_nobody_in(table, put, open_keys):
    put(plan=PLAN._replace(name="gone"))
    with pytest.raises(LookupUnavailable, match="plan gone"):
        open_keys()[0].find("gw1")
    table.put_item(TableName="access", Item={"id": {"S": "plan#gone"}})
    with pytest.raises(LookupUnavailable, match="something else than a plan"):
        open_keys()[0].find("gw1")


def test_without_a_table_nobody_is_let_in(table):
    with pytest.raises(LookupUnavailable, match="ResourceNotFoundException"):
        GatewayKeys("nowhere", dynamodb_in(REGION), 5).find("gw1")
