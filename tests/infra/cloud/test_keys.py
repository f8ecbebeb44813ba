"""Keys of a stage, against API Gateway and DynamoDB as moto has them; functions read what is written here."""

import time

import boto3
import pytest

from functions.access.dynamodb import GatewayKeys
from functions.access.keys import Plan, digest
from functions.access.sqlite import NotRotatable, UnknownKey, UnknownPlan
from functions.aws.service import dynamodb_in
from infra.cloud.keys import StageKeys

STARTER = Plan("starter", "starter@01", 0.5, 20, 100)


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
def table(make_table):
    return make_table("customer")


@pytest.fixture
def gateway(aws):
    return boto3.client("apigateway")


@pytest.fixture
def keys(table, gateway, usage_plans):
    keys = StageKeys(gateway, boto3.client("dynamodb"), table.name, usage_plans)
    keys.set_plan(STARTER)
    return keys


@pytest.fixture
def in_function(table, aws):
    """The look-up of a deployed function, without a cache."""
    return GatewayKeys(table.name, dynamodb_in("eu-west-1"), 0)


@pytest.fixture
def gateway_ids(gateway, keys, usage_plans):
    """Ids at the gateway of the keys on a plan, by their value."""

    def find(plan="starter"):
        on_plan = gateway.get_usage_plan_keys(usagePlanId=usage_plans[plan])["items"]
        return {gateway.get_api_key(apiKey=k["id"], includeValue=True)["value"]: k["id"] for k in on_plan}

    return find


def test_an_issued_key_is_let_in_by_gateway_and_function(keys, in_function, gateway_ids, table):
    key, record = keys.issue("cus_a", "starter", ["sentiment"])
    found = in_function.find(gateway_ids()[key])
    assert found == record == keys.get(record.key_id)
    assert (found.plan, found.models, found.digest) == (STARTER, ("sentiment",), digest(key))
    assert found.usable(now_ms())
    assert key not in str(table.scan())


def test_a_key_of_somebody_else_has_no_record(in_function, keys):
    assert in_function.find("unknown") is None
    assert in_function.find("") is None


def test_keys_follow_their_plan(keys, in_function, gateway_ids):
    key, record = keys.issue("cus_a", "starter")
    newer = STARTER._replace(version="starter@02", rate=7.0)
    keys.set_plan(newer)
    assert in_function.find(gateway_ids()[key]).plan == newer == keys.get(record.key_id).plan
    assert list(keys.plans()) == [newer]


def test_a_plan_that_is_not_deployed_says_what_to_do(keys):
    with pytest.raises(UnknownPlan, match=r"'gold'.*starter"):
        keys.issue("cus_a", "gold")
    with pytest.raises(UnknownPlan, match="payphone deploy"):
        keys.set_plan(STARTER._replace(name="gold"))


@pytest.mark.parametrize("step", ["transact_write_items", "create_usage_plan_key"])
def test_what_a_crash_leaves_behind_opens_nothing(keys, gateway, gateway_ids, monkeypatch, step):
    def crash(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(keys._gateway if step.startswith("create") else keys._dynamodb, step, crash)
    with pytest.raises(KeyboardInterrupt):
        keys.issue("cus_a", "starter")
    assert gateway_ids() == {}


def test_a_revoked_key_is_shut_at_both_and_stays_so(keys, in_function, gateway, gateway_ids):
    key, record = keys.issue("cus_a", "starter")
    at_gateway = gateway_ids()[key]
    first = keys.revoke(record.key_id)
    assert first.revoked_at >= record.created_at
    assert not in_function.find(at_gateway).usable(now_ms())
    assert gateway.get_api_key(apiKey=at_gateway)["enabled"] is False
    time.sleep(0.002)
    assert keys.revoke(record.key_id) == first


def test_a_key_that_was_deleted_at_the_gateway_can_be_revoked(keys, gateway, gateway_ids):
    key, record = keys.issue("cus_a", "starter")
    gateway.delete_api_key(apiKey=gateway_ids()[key])
    assert keys.revoke(record.key_id).revoked_at


def test_a_rotated_key_lives_on_through_its_grace(keys, in_function, gateway_ids):
    key, record = keys.issue("cus_a", "starter", ["sentiment"])
    new_key, new = keys.rotate(record.key_id, 60_000)
    ids = gateway_ids()
    old = in_function.find(ids[key])
    assert old.usable(now_ms())
    assert not old.usable(now_ms() + 60_000)
    assert in_function.find(ids[new_key]) == new
    assert (new.customer, new.plan, new.models, new.expires_at) == ("cus_a", STARTER, ("sentiment",), 0)


def test_rotation_does_not_extend_a_key_that_was_to_end(keys):
    ends = now_ms() + 30_000
    _, record = keys.issue("cus_a", "starter", expires_at=ends)
    _, new = keys.rotate(record.key_id, 60_000)
    assert keys.get(record.key_id).expires_at == new.expires_at == ends


def test_a_key_is_rotated_once_and_never_when_closed(keys):
    _, record = keys.issue("cus_a", "starter")
    _, new = keys.rotate(record.key_id, 60_000)
    with pytest.raises(NotRotatable, match=new.key_id):
        keys.rotate(record.key_id, 60_000)
    keys.revoke(new.key_id)
    with pytest.raises(NotRotatable, match="revoked: issue a new key"):
        keys.rotate(new.key_id, 0)
    _, expired = keys.issue("cus_a", "starter", expires_at=1)
    with pytest.raises(NotRotatable, match="expired: issue a new key"):
        keys.rotate(expired.key_id, 0)
    with pytest.raises(ValueError, match="-1"):
        keys.rotate(record.key_id, -1)


@pytest.mark.parametrize("meanwhile", ["rotate", "revoke"])
def test_of_two_operators_at_once_one_wins(keys, monkeypatch, meanwhile):
    _, record = keys.issue("cus_a", "starter")
    issue = keys.issue

    def overtaken(*arguments):
        made = issue(*arguments)
        monkeypatch.setattr(keys, "issue", issue)
        keys.rotate(record.key_id, 0) if meanwhile == "rotate" else keys.revoke(record.key_id)
        return made

    monkeypatch.setattr(keys, "issue", overtaken)
    with pytest.raises(NotRotatable):
        keys.rotate(record.key_id, 60_000)
    usable = [found.key_id for found in keys.list() if found.usable(now_ms())]
    assert len(usable) == (1 if meanwhile == "rotate" else 0)
    assert record.key_id not in usable


def test_keys_are_listed_by_age_and_by_customer(keys, in_function):
    issued = []
    for customer in ("cus_a", "cus_b", "cus_a"):
        issued.append(keys.issue(customer, "starter")[1])
        time.sleep(0.002)
    assert list(keys.list()) == issued
    assert list(keys.list("cus_a")) == [issued[0], issued[2]] == in_function.of_customer("cus_a")


def test_an_unknown_key_says_so(keys):
    for operation in (keys.revoke, keys.get, lambda key_id: keys.rotate(key_id, 0)):
        with pytest.raises(UnknownKey, match="key_none"):
            operation("key_none")
