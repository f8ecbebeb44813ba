"""Money before calls, over HTTP and by command: top up, call, run dry, close the month, agree."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from functions.metering.usage import month_of

SERVICE = """
[service]
name = "Test"
currency = "EUR"
[models]
serve = ["sentiment"]
[plans.prepaid]
prepaid = true
prices = [{ price = 0.001 }, { per = "unit", price = 0.0005 }]
taxes = [{ name = "VAT", percent = 19 }]
[plans.capped]
price_per_call = 0.004
spend_cap = 0.01
hard_limits = true
[plans.counted]
price_per_call = 0.004
quota = 3
hard_limits = true
"""
CALL = Decimal("0.0015") * Decimal("1.19")
ONE = {"instances": ["A film I would see again."]}
PATH = "/v1/models/sentiment/predict"


@pytest.fixture(scope="module")
def server(make_server):
    with make_server(SERVICE) as made:
        yield made.start()


@pytest.fixture(scope="module")
def payphone(server):
    def run(*arguments, expect=0):
        places = ["--state", str(server.state), "--service", str(server.service)]
        done = subprocess.run(
            [sys.executable, "-c", "from infra.cli.main import app; app()", *places, *arguments, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stderr
        return json.loads(done.stdout or done.stderr)

    return run


@pytest.fixture(scope="module")
def customer(payphone):
    return payphone("customer", "add", "Ada Ltd", "ada@example.com")["customer"]


@pytest.fixture(scope="module")
def client(server, customer):
    key, _ = server.issue("prepaid", customer)
    with server.client(key) as opened:
        yield opened


def balance(client):
    return Decimal(client.get("/v1/wallet").json()["balance"])


def test_an_empty_wallet_pays_nothing(server, client):
    answer = client.post(PATH, json=ONE)
    assert answer.status_code == 402
    assert answer.json() | {"instance": ""} == {
        "type": "urn:payphone:problem:insufficient-balance",
        "title": "The prepaid balance does not cover this call",
        "status": 402,
        "detail": "The call costs 0.001785 EUR, the balance is 0 EUR; it was not run. "
        "Top up, then send it again.",
        "instance": "",
        "balance": "0",
        "needed": "0.001785",
        "currency": "EUR",
    }
    assert server.rows() == []


def test_a_top_up_is_made_once(payphone, customer, client):
    first = payphone("wallet", "top-up", "ada@example.com", "0.10", "--reference", "transfer 7")
    assert (first["posted"], first["balance"]) == (True, "0.1")
    again = payphone("wallet", "top-up", customer, "0.10", "--reference", "transfer 7")
    assert (again["posted"], again["balance"]) == (False, "0.1")
    other = payphone("wallet", "top-up", customer, "0.20", "--reference", "transfer 7", expect=1)
    assert "was used before, for 0.1 EUR" in other["error"]
    for amount in ("0.001", "0", "NaN", "1e12"):
        payphone("wallet", "top-up", customer, amount, "--reference", "odd", expect=1)
    assert balance(client) == Decimal("0.1")
    too_much = payphone("wallet", "refund", customer, "0.11", "--reference", "back", expect=1)
    assert "has 0.1 EUR" in too_much["error"]
    for posted in (True, False):
        refunded = payphone("wallet", "refund", customer, "0.01", "--reference", "back")
        assert (refunded["posted"], refunded["balance"]) == (posted, "0.09")
    payphone("wallet", "top-up", customer, "0.01", "--reference", "back")
    assert balance(client) == Decimal("0.1")


def test_calls_are_paid_by_call_and_unit_and_replays_are_not(client):
    before = balance(client)
    assert client.post(PATH, json={"instances": ONE["instances"] * 3}).status_code == 200
    cost = Decimal("0.0025") * Decimal("1.19")
    assert balance(client) == before - cost
    for expected in (False, True):
        answer = client.post(PATH, json=ONE, headers={"idempotency-key": "k"})
        assert answer.json()["usage"]["billed"] is not expected
    assert balance(client) == before - cost - CALL


def test_what_can_not_be_read_is_not_paid(client):
    before = balance(client)
    assert client.post(PATH, content=b"{").status_code == 415
    assert client.post(PATH, json={"instances": [[1, 2]]}).status_code == 422
    assert balance(client) == before


def test_many_callers_at_once_spend_to_the_last_call_and_no_further(server, client):
    affordable = int(balance(client) / CALL)
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(
            pool.map(lambda _: client.post(PATH, json=ONE).status_code, range(affordable + 20))
        )
    assert statuses == {200: affordable, 402: 20}
    assert 0 <= balance(client) < CALL


def test_v2_says_it_too(client):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Dull."]}
    answer = client.post("/v2/models/sentiment/infer", json={"inputs": [tensor]})
    assert answer.status_code == 402
    assert "balance" in answer.json()["error"]


def test_a_spend_cap_holds_to_the_call(server):
    key, _ = server.issue("capped", "cus_capped")
    with server.client(key) as caller:
        assert [caller.post(PATH, json=ONE).status_code for _ in range(3)] == [200, 200, 402]
        problem = caller.post(PATH, json=ONE).json()
        assert problem["type"] == "urn:payphone:problem:spend-cap-reached"
        assert (problem["cap"], problem["left"], problem["needed"]) == ("0.01", "0.002", "0.004")
        (limit,) = caller.get("/v1/wallet").json()["limits"]
        assert (limit["limit"], limit["most"], limit["used"], limit["left"]) == (
            "spend_cap", "0.01", "0.008", "0.002",
        )  # fmt: skip


def test_a_hard_quota_holds_over_all_keys_and_counts_no_failure(server):
    (first, _), (second, _) = (server.issue("counted", "cus_counted") for _ in range(2))
    with server.client(first) as one, server.client(second) as two:
        assert one.post(PATH, content=b"{").status_code == 415
        assert [c.post(PATH, json=ONE).status_code for c in (one, two, one, two)] == [200, 200, 200, 429]
        answer = one.post(PATH, json=ONE)
        assert answer.json()["type"] == "urn:payphone:problem:quota-exceeded"
        assert 0 < int(answer.headers["retry-after"]) <= 31 * 86400


def test_the_invoice_and_the_wallet_agree_to_the_cent(server, payphone, customer, client):
    exact = Decimal("0.1") - balance(client)
    month = month_of(server.rows(customer)[0].started_at)
    closed = payphone("invoice", "close", "--month", month, "--early", "--leave-out-unproven")
    (invoice,) = [each for each in closed["invoices"] if each["customer"] == customer]
    (paid,) = invoice["credits"]
    assert paid["description"] == "paid from the wallet, plan prepaid"
    assert invoice["total"] == "0.00"
    wallet = payphone("wallet", "show", customer)
    settlement = wallet["entries"][-1]
    assert (settlement["kind"], settlement["reference"]) == ("settlement", invoice["number"])
    lines = len(invoice["lines"]) + len(invoice["taxes"])
    assert abs(Decimal(settlement["amount"])) <= lines * Decimal("0.005")
    assert Decimal(wallet["balance"]) == Decimal("0.1") - exact + Decimal(settlement["amount"]) >= 0
    waived = "waived" in settlement["reason"]
    assert waived or Decimal(wallet["balance"]) == Decimal("0.1") - Decimal(paid["amount"])
    payphone("invoice", "close", "--month", month)
    assert payphone("wallet", "show", customer) == wallet
    row = server.rows(customer)[0]
    note = payphone("invoice", "credit", invoice["number"], "--call", row.call_id, "--reason", "goodwill")
    back = Decimal(note["credits"][0]["amount"]) if note["credits"] else 0
    assert balance(client) == Decimal(wallet["balance"]) + back
    assert payphone("wallet", "list")["wallets"] == [
        {"customer": customer, "currency": "EUR", "balance": str(balance(client))}
    ]
