"""What an operator asks of one customer, and the hourly report to AWS Marketplace."""

import time
from contextlib import closing

import pytest

from functions.metering.event import UsageEvent
from functions.metering.usage import month_of, month_span

HOUR = 3_600_000


@pytest.fixture
def now():
    return time.time_ns() // 1_000_000


@pytest.fixture
def key_id(payphone, customer):
    return payphone.json("key", "issue", customer, "--plan", "pro")["key_id"]


def sell(payphone, customer, key_id, *times):
    with closing(payphone.place.keys()) as keys:
        version = keys.get(key_id).plan.version
    rows = [
        UsageEvent(
            f"gw:{n}", (f"a{n}",), key_id, customer, version, "sentiment", "1", "predict", 1, 9, at, ""
        )
        for n, at in enumerate(times)
    ]
    with closing(payphone.place.ledger()) as ledger:
        for ticket in [ledger.append(row) for row in rows]:
            ticket.outcome()


def test_a_customer_with_keys_plan_balance_and_the_month(payphone, customer, key_id, now):
    start = month_span(month_of(now))[0]
    sell(payphone, customer, key_id, *range(start, start + 1000))
    payphone.json("wallet", "top-up", customer, "25", "--reference", "first")
    found = payphone.json("customer", "show", customer)
    (key,), (cost,) = found["keys"], found["costs"]
    assert (key["key_id"], key["plan"].partition("@")[0], key["status"]) == (key_id, "pro", "usable")
    assert found["wallets"] == [{"currency": "USD", "balance": "25"}]
    assert (found["status"], cost["calls"], cost["total"]) == ("draft", 1000, "49.80")
    assert float(cost["projected_total"]) >= 49.80
    text = payphone.ok("customer", "show", customer)
    for said in (customer, key_id, "25", "49.80"):
        assert said in text


def test_a_customer_without_anything(payphone, customer):
    found = payphone.json("customer", "show", customer)
    assert (found["keys"], found["wallets"], found["costs"]) == ([], [], [])
    assert "Nothing to pay" in payphone.ok("customer", "show", customer)
    assert "no customer" in payphone.error("customer", "show", "nobody")


def test_the_marketplace_hears_of_whole_hours_of_its_buyers(payphone, customer, key_id, now, tmp_path):
    hour = now // HOUR * HOUR
    sell(payphone, customer, key_id, hour - 1, hour - 2, hour - HOUR, hour, hour - 6 * HOUR)
    file = tmp_path / "product.toml"
    file.write_text(
        f'product_code = "p"\n[dimensions]\nsentiment = "predictions"\n[buyers]\n{customer} = "buyer-1"\n'
    )
    found = payphone.json("marketplace", str(file))
    assert (found["sent"], found["records"]) == (
        False,
        [
            {
                "Timestamp": (hour - HOUR) // 1000,
                "CustomerIdentifier": "buyer-1",
                "Dimension": "predictions",
                "Quantity": 3,
            }
        ],
    )
    assert "Nothing was sent" in payphone.ok("marketplace", str(file))
    file.write_text('product_code = "p"\n')
    assert "dimensions: Field required" in payphone.error("marketplace", str(file))
