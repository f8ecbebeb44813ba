import json
from decimal import Decimal

import pytest

PLAN = """\
currency = "USD"
monthly_fee = 5
price_per_call = 0.01
free_calls = 100
taxes = [{ name = "VAT", percent = 20 }]

[[prices]]
kind = "explain"
tiering = "graduated"
tiers = [{ up_to = 10, price = 1 }, { price = 0.5 }]

[[changes]]
effective_from = 2026-11-15T00:00:00Z
price_per_call = 0.02
"""
USAGE = """\
started_at,customer,model,kind,calls,units
2026-11-16T00:00:00+01:00,acme,sentiment,predict,50,50
2026-11-14T23:59:59Z,acme,sentiment,predict,200,900
2026-11-20,acme,digits,explain,12,12
1796083200000,beta,digits,predict,7,7
2026-12-01T00:00:00Z,acme,sentiment,predict,100,100
"""


@pytest.fixture
def files(tmp_path):
    plan, usage = tmp_path / "pro.toml", tmp_path / "usage.csv"
    plan.write_text(PLAN)
    usage.write_text(USAGE)
    return "--plan", str(plan), "--usage", str(usage)


def test_usage_is_priced_by_customer_and_month(payphone, files):
    found = payphone.json("price", *files)
    lines = [
        (x["customer"], x["month"], x["description"], x["quantity"], x.get("unit_price"), x["amount"])
        for x in found["lines"]
    ]
    assert lines == [
        ("acme", "2026-11", "monthly fee, plan pro", 1, "5", "5.00"),
        ("acme", "2026-11", "sentiment, predict, plan pro", 200, "0.01", "1.00"),
        ("acme", "2026-11", "all models, explain, plan pro, from 2026-11-15T00:00:00Z", 12, None, "11.00"),
        ("acme", "2026-11", "sentiment, predict, plan pro, from 2026-11-15T00:00:00Z", 50, "0.02", "1.00"),
        ("acme", "2026-12", "monthly fee, plan pro", 1, "5", "5.00"),
        ("acme", "2026-12", "sentiment, predict, plan pro, from 2026-11-15T00:00:00Z", 100, "0.02", "0.00"),
        ("beta", "2026-12", "monthly fee, plan pro", 1, "5", "5.00"),
        ("beta", "2026-12", "digits, predict, plan pro, from 2026-11-15T00:00:00Z", 7, "0.02", "0.00"),
    ]  # fmt: skip
    assert found["lines"][2]["tiers"] == [
        {"quantity": 10, "unit_price": "1"},
        {"quantity": 2, "unit_price": "0.5"},
    ]
    assert (found["subtotal"], found["discounts"], found["credits"]) == ("28.00", [], [])
    assert [tax["amount"] for tax in found["taxes"]] == ["3.60", "1.00", "1.00"]
    assert found["total"] == "33.60"
    assert sum(Decimal(bill["total"]) for bill in found["bills"]) == Decimal("33.60")
    assert "21.60" in payphone.ok("price", *files)


def test_it_needs_no_state(payphone, files, tmp_path):
    payphone.json("price", *files)
    assert list(payphone.place.root.iterdir()) == []


def test_prepaid_credit_carries_over(payphone, files, tmp_path):
    (tmp_path / "pro.toml").write_text('currency = "USD"\nprice_per_call = 0.1\nprepaid_credit = 25')
    found = payphone.json("price", *files)
    credits = [(x["customer"], x["month"], x["amount"]) for x in found["credits"]]
    assert credits == [("acme", "2026-11", "25.00"), ("beta", "2026-12", "0.70")]
    assert found["total"] == "11.20"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.01", "-0.01", "pro.toml:3: price_per_call = -0.01: at least 0 was expected"),
        ("free_calls", "free_call", "pro.toml:4: the file has an unknown setting free_call: did you"),
        ('currency = "USD"\n', "", "pro.toml:1: the file lacks currency"),
        ("{ price = 0.5 }", "{ from = 12, price = 0.5 }", "pro.toml:10: prices(1).tiers(2).from: tiers"),
        ("price = 1 }", "price = 1", "pro.toml:10: this is not TOML"),
    ],
)  # fmt: skip
def test_a_nonsense_plan_is_refused_by_line(payphone, files, tmp_path, old, new, said):
    (tmp_path / "pro.toml").write_text(PLAN.replace(old, new))
    assert said in payphone.error("price", *files)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026-11-20,acme,digits,explain,12", "usage.csv:7: 6 cells were expected"),
        ("2026-11-20,acme,digits,bulk,1,1", "usage.csv:7: kind 'bulk': one of predict, explain, batch"),
        ("2026-11-20,acme,digits,predict,0,1", "usage.csv:7: calls '0': a whole number of 1 or more"),
        ("2026-11-20,acme,digits,predict,1.5,1", "usage.csv:7: calls '1.5'"),
        ("2026-11-20,acme,digits,predict,1,-1", "usage.csv:7: units '-1': a whole number of 0 or more"),
        ("2026-11-20T10:00:00,acme,digits,predict,1,1", "usage.csv:7: started_at '2026"),
        ("2026-11-20,,digits,predict,1,1", "usage.csv:7: customer '': a name was expected"),
    ],
)  # fmt: skip
def test_nonsense_usage_is_refused_by_line(payphone, files, tmp_path, line, said):
    (tmp_path / "usage.csv").write_text(f"{USAGE}{line}\n")
    assert said in payphone.error("price", *files)


def test_a_call_without_a_price_is_named(payphone, files, tmp_path):
    (tmp_path / "pro.toml").write_text('currency = "USD"\nprices = [{ model = "sentiment", price = 1 }]')
    assert "usage.csv:4: plan pro has no price for explain calls of digits" in payphone.error("price", *files)


def test_other_columns_are_refused(payphone, files, tmp_path):
    (tmp_path / "usage.csv").write_text("time,customer\n")
    assert "usage.csv:1: the columns started_at,customer" in payphone.error("price", *files)
    (tmp_path / "usage.csv").write_text("started_at,customer,model,kind,calls,units\n")
    assert json.loads(payphone.ok("price", *files, "--json"))["total"] == "0.00"
