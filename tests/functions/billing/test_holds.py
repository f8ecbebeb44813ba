"""What plans hold: compiled amounts against the invoice's own prices, and what can't be held."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.billing.holds import compile_holds, nanos
from functions.billing.plans import Plan
from functions.billing.pricing import Tally
from functions.metering.event import UsageEvent
from functions.metering.ledger import Hold
from functions.metering.terms import amount_text, held, in_force

NOON = 1_795_435_200_000  # 2026-11-23T12:00:00Z
DECEMBER = 1_796_083_200_000


def plan(**terms):
    return Plan.model_validate({"name": "paid", "currency": "EUR", "price_per_call": "0.002", **terms})


def row(model="sentiment", kind="predict", units=3, at=NOON, **fields):
    return UsageEvent(
        "gw:a", ("a",), "key_1", "cus_a", "paid@1", model, "1", kind, units, 40, at, ""
    )._replace(**fields)


def amount(of, each):
    (hold,) = held(compile_holds(of).holds, each)
    return hold.amount


def test_a_plan_without_limits_that_hold_has_no_terms():
    assert compile_holds(plan()) == ("", "")
    assert compile_holds(plan(rate=5, burst=9)) == ("", "")
    soft = compile_holds(plan(quota=5, spend_cap=1))
    assert soft.holds == ""
    assert in_force(soft.counts, NOON) == {
        "since": 0, "quota": 5, "cap": 10**9, "alert_at": [50, 80, 100],
        "amounts": {f"*/{kind}": [2_000_000, 0] for kind in ("predict", "explain", "batch")},
    }  # fmt: skip


def test_hard_limits_hold_from_the_months_accounts():
    terms = compile_holds(plan(quota=5, spend_cap=1, hard_limits=True))
    assert terms.counts == ""
    assert held(terms.holds, row()) == [
        Hold("quota#cus_a#paid#2026-11", 1, -5),
        Hold("cap#cus_a#paid#2026-11", 2_000_000, -(10**9)),
    ]
    (quota, _) = held(terms.holds, row(at=DECEMBER))
    assert quota.account == "quota#cus_a#paid#2026-12"


def test_a_prepaid_plan_holds_calls_units_and_taxes():
    prices = [{"price": "0.001"}, {"per": "unit", "price": "0.0005"}]
    paid = plan(price_per_call=None, prepaid=True, prices=prices, taxes=[{"name": "VAT", "percent": "19"}])
    assert held(compile_holds(paid).holds, row()) == [
        Hold("wallet#cus_a#EUR", (1_000_000 + 3 * 500_000) * 119 // 100)
    ]


def test_the_closest_price_is_held():
    prices = [
        {"model": "digits", "price": "0.5"},
        {"kind": "explain", "price": "0.03"},
        {"model": "digits", "kind": "batch", "price": "0"},
    ]
    paid = plan(prepaid=True, prices=prices)
    for each, expected in {
        ("sentiment", "predict"): 2_000_000,
        ("sentiment", "explain"): 30_000_000,
        ("digits", "predict"): 500_000_000,
        ("digits", "explain"): 500_000_000,
        ("digits", "batch"): 0,
    }.items():
        assert amount(paid, row(*each)) == expected


def test_a_change_holds_from_its_instant_on():
    change = {"effective_from": "2026-11-23T12:00:00Z", "price_per_call": "0.003"}
    paid = plan(prepaid=True, changes=[change])
    assert [amount(paid, row(at=NOON + ms)) for ms in (-1, 0)] == [2_000_000, 3_000_000]


def test_a_price_finer_than_a_nano_is_rounded_up():
    assert nanos(Decimal("0.0000000001")) == 1
    paid = plan(prepaid=True, taxes=[{"name": "T", "percent": "0.000001"}])
    assert amount(paid, row()) == 2_000_001


@given(
    price=st.decimals(0, 10, places=9),
    per_unit=st.decimals(0, 1, places=9),
    units=st.lists(st.integers(1, 50), min_size=1, max_size=20),
)
def test_what_is_held_is_what_the_invoice_charges_but_for_its_rounding(price, per_unit, units):
    prices = [{"price": str(price)}, {"per": "unit", "price": str(per_unit)}]
    paid = plan(price_per_call=None, prepaid=True, prices=prices)
    rows = [row(units=n, call_id=f"gw:{i}") for i, n in enumerate(units)]
    tally = Tally("EUR", lambda version: paid)
    for each in rows:
        tally.add(each)
    charged = sum((line.amount for line in tally.usage_lines()), Decimal(0))
    exact = sum(amount(paid, each) for each in rows)
    assert exact == nanos(sum((price + per_unit * n for n in units), Decimal(0)))
    assert abs(Decimal(exact) / 10**9 - charged) <= Decimal("0.005") * 2


TIERS = [{"up_to": 10, "price": "0.2"}, {"price": "0.1"}]


@pytest.mark.parametrize(
    "limit", [{"prepaid": True}, {"spend_cap": 5}, {"spend_cap": 5, "hard_limits": True}]
)
@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"free_calls": 5}, "free_calls"),
        ({"free_units": 5}, "free_units"),
        ({"prices": [{"kind": "batch", "tiering": "volume", "tiers": TIERS}]}, "volume tiers depends on"),
        ({"prices": [{"kind": "batch", "tiering": "graduated", "tiers": TIERS}]}, "graduated tiers depends"),
        ({"prices": [{"kind": "batch", "price": 1, "package": 10}]}, "packages"),
        ({"changes": [{"effective_from": "2027-01-01", "free_calls": 1}]}, "free_calls"),
    ],
)
def test_what_no_call_can_be_priced_by_is_refused(limit, terms, said):
    plan(**terms)
    with pytest.raises(ValidationError, match=said):
        plan(**limit, **terms)


@pytest.mark.parametrize(
    "terms",
    [
        {"monthly_fee": 5}, {"minimum": 5}, {"discount": {"percent": 5}}, {"prepaid_credit": 5},
        {"surcharges": [{"name": "s", "percent": 1}]},
    ],
)  # fmt: skip
def test_a_wallet_pays_nothing_by_the_month(terms):
    plan(spend_cap=5, **terms)
    with pytest.raises(ValidationError, match="pays calls and their taxes"):
        plan(prepaid=True, **terms)


def test_a_hard_quota_suits_any_plan():
    free = plan(free_calls=5, monthly_fee=9, quota=7, hard_limits=True)
    assert held(compile_holds(free).holds, row()) == [Hold("quota#cus_a#paid#2026-11", 1, -7)]


def test_amounts_are_written_exactly():
    assert [amount_text(n) for n in (0, 1, 2_000_000, 10**9, -1_500_000_000)] == [
        "0", "0.000000001", "0.002", "1", "-1.5",
    ]  # fmt: skip
