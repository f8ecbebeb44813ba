"""Holds by the deployed bytes: a wallet is topped up, spent by many at once to the last call, and told of."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

CALLS, ATTEMPTS, AT_ONCE = 12, 24, 6


@pytest.fixture(scope="module")
def customer(cloud):
    return cloud.customer()


@pytest.fixture(scope="module")
def client(cloud, customer):
    with cloud.http(cloud.issue("paid", customer)["key"]) as opened:
        yield opened


def balance(client):
    return Decimal(client.get("/v1/wallet").json()["balance"])


def test_calls_are_paid_before_they_are_run_and_never_beyond(cloud, customer, client):
    refused = cloud.predict(client)
    assert (refused.status_code, refused.json()["type"]) == (402, "urn:payphone:problem:insufficient-balance")
    amount = str(Decimal("0.002") * CALLS + Decimal("0.006"))
    top_up = ("wallet", "top-up", customer, amount, "--reference", "first", "--stage", cloud.stage)
    assert [cloud.run(*top_up)["posted"] for _ in range(2)] == [True, False]
    assert balance(client) == Decimal(amount)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = Counter(pool.map(lambda _: cloud.predict(client).status_code, range(ATTEMPTS)))
    assert statuses == {200: CALLS + 3, 402: ATTEMPTS - CALLS - 3}
    assert balance(client) == 0

    rows = cloud.client("dynamodb").scan(TableName=cloud.outputs["LedgerTable"])["Items"]
    ours = [row for row in rows if row["customer"]["S"] == customer]
    assert len(ours) == CALLS + 3
    held = {f"wallet#{customer}#USD": {"N": "2000000"}}
    assert all(row["holds"]["M"] == held for row in ours)


def test_a_replay_is_answered_from_an_empty_wallet(cloud, customer, client):
    cloud.run("wallet", "top-up", customer, "0.01", "--reference", "second", "--stage", cloud.stage)
    key = {"idempotency-key": f"k{time.monotonic_ns()}"}
    answers = [cloud.predict(client, headers=key).json()["usage"]["billed"] for _ in range(2)]
    assert answers == [True, False]
    assert balance(client) == Decimal("0.008")


def test_a_hard_quota_holds_and_webhooks_are_told(cloud, customer):
    key = cloud.issue("counted", customer)["key"]
    hook = ("webhook", "add", "https://hooks.invalid/payphone", "--customer", customer)
    added = cloud.run(*hook, "--stage", cloud.stage)
    assert added["secret"].startswith("whsec_")
    with cloud.http(key) as caller:
        assert [cloud.predict(caller).status_code for _ in range(5)] == [200] * 4 + [429]
        (limit,) = caller.get("/v1/wallet").json()["limits"]
        assert (limit["limit"], limit["most"], limit["left"]) == ("quota", "4", "0")
    functions = [f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]]
    (notify,) = [name for name in functions if name.startswith(f"payphone-{cloud.stage}-billing-Notify")]
    answer = json.load(cloud.client("lambda").invoke(FunctionName=notify, Payload=b"{}")["Payload"])
    assert answer["new"] >= 3  # other tests' customers have used up their quotas on this stage, too
    assert answer["delivered"] == 0
    listed = cloud.run("webhook", "list", "--stage", cloud.stage)
    assert [(each["state"], each["attempts"]) for each in listed["deliveries"]] == [("waiting", 1)] * 3
    assert all("resolved" in each["said"] for each in listed["deliveries"])
    rotated = cloud.run("webhook", "rotate", added["endpoint"], "--stage", cloud.stage)
    assert rotated["secret"] != added["secret"]
    cloud.run("webhook", "remove", added["endpoint"], "--stage", cloud.stage)
