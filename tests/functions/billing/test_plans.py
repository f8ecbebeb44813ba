import json
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.billing.amounts import decimal_text
from functions.billing.currencies import MINOR_UNIT
from functions.billing.plans import Plan, PlanBook, UnknownPlan

STARTER = {"name": "starter", "currency": "USD", "price_per_call": "0.002"}


def plan(**changes) -> Plan:
    return Plan.model_validate({**STARTER, **changes})


def test_the_version_is_the_hash_of_the_canonical_form():
    made = plan(free_calls=1000, rate=10, burst=20, model_prices={"b": 1, "a": "0.50"})
    text = (
        '{"burst":20,"currency":"USD","free_calls":1000,"model_prices":{"a":"0.5","b":"1"},'
        '"name":"starter","price_per_call":"0.002","rate":"10"}'
    )
    assert made.canonical().decode() == text
    assert made.version == "starter@" + sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("same", ["0.002", "0.00200", Decimal("0.002"), Decimal("2E-3")])
def test_equal_prices_are_one_version(same):
    assert plan(price_per_call=same).version == plan().version


@pytest.mark.parametrize(
    "changes",
    [
        {"price_per_call": "0.003"},
        {"model_prices": {"sentiment": "0.003"}},
        {"free_calls": 1},
        {"monthly_fee": 5},
        {"rate": 1, "burst": 1},
        {"quota": 100},
        {"currency": "EUR"},
        {"name": "other"},
    ],
)
def test_every_edit_makes_another_version(changes):
    assert plan(**changes).version != plan().version


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"price_per_call": -1}, "price_per_call"),
        ({"price_per_call": 0.002}, "price_per_call"),
        ({"price_per_call": True}, "price_per_call"),
        ({"price_per_call": "NaN"}, "price_per_call"),
        ({"price_per_call": "Infinity"}, "price_per_call"),
        ({"price_per_call": "1e400"}, "price_per_call"),
        ({"price_per_call": "0.0000000000001"}, "price_per_call"),
        ({"price_per_call": "cheap"}, "price_per_call"),
        ({"model_prices": {"sentiment": "-0.1"}}, "model_prices"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XAU"}, "currency"),
        ({"free_calls": -1}, "free_calls"),
        ({"free_calls": 1.5}, "free_calls"),
        ({"free_calls": True}, "free_calls"),
        ({"monthly_fee": -1}, "monthly_fee"),
        ({"rate": 0, "burst": 1}, "rate"),
        ({"rate": 1, "burst": 0}, "burst"),
        ({"quota": 0}, "quota"),
        ({"name": "a@b"}, "name"),
        ({"name": "../etc"}, "name"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_nonsense_is_refused_where_it_stands(changes, at):
    with pytest.raises(ValidationError) as refused:
        plan(**changes)
    assert [error["loc"][0] for error in refused.value.errors()] == [at]


@pytest.mark.parametrize("half", [{"rate": 10}, {"burst": 20}])
def test_half_a_throttle_is_refused(half):
    with pytest.raises(ValidationError, match="rate and burst belong together"):
        plan(**half)


@pytest.mark.parametrize(
    ("currency", "fee", "fits"),
    [
        ("USD", "9.99", True),
        ("USD", "9.990", True),
        ("USD", "9.999", False),
        ("JPY", "500", True),
        ("JPY", "0.5", False),
        ("KWD", "1.125", True),
    ],
)
def test_a_fee_can_be_paid_in_its_currency(currency, fee, fits):
    if fits:
        assert plan(currency=currency, monthly_fee=fee).monthly_fee == Decimal(fee)
    else:
        with pytest.raises(ValidationError, match="finer than"):
            plan(currency=currency, monthly_fee=fee)


def test_a_model_may_have_its_own_price():
    made = plan(model_prices={"sentiment": "0.005"})
    assert made.price("sentiment") == Decimal("0.005")
    assert made.price("digits") == Decimal("0.002")


def test_minor_units():
    units = {code: -int(unit.as_tuple().exponent) for code, unit in MINOR_UNIT.items()}
    assert (units["USD"], units["JPY"], units["KWD"], units["CLF"], units["ISK"]) == (2, 0, 3, 4, 0)
    assert len(units) == 165
    assert all(len(code) == 3 and code.isupper() for code in units)


def test_published_plans_come_back(book: PlanBook):
    first, second = plan(), plan(price_per_call="0.003", monthly_fee=5, rate="0.5", burst=1)
    versions = [book.publish(first), book.publish(second), book.publish(first)]
    assert versions == [first.version, second.version, first.version]
    assert book.get(first.version) == first
    assert book.get(second.version) == second


def test_an_unknown_version_is_named(book: PlanBook):
    with pytest.raises(UnknownPlan, match="starter@000000000000"):
        book.get("starter@000000000000")
    with pytest.raises(UnknownPlan, match="not published"):
        book.get("../../secrets")


def test_an_edited_plan_file_is_never_used(book: PlanBook, tmp_path: Path):
    version = book.publish(plan())
    file = tmp_path / "state" / "plans" / f"{version}.json"
    file.write_bytes(json.dumps({**STARTER, "price_per_call": "0.001"}).encode())
    with pytest.raises(UnknownPlan, match="changed after it was published"):
        book.get(version)
    with pytest.raises(UnknownPlan, match="changed after it was published"):
        book.publish(plan())


amounts = st.decimals(min_value=0, max_value=10**9 - 1, places=12).map(abs)


@given(amounts)
def test_decimal_text_keeps_the_number_and_has_one_form(amount: Decimal):
    text = decimal_text(amount)
    assert Decimal(text) == amount
    assert decimal_text(Decimal(text)) == text
    assert "E" not in text
    assert text == "0" or not text.startswith("-")


@given(price=amounts, free=st.integers(0, 10**6), quota=st.none() | st.integers(1, 10**9))
def test_canonical_json_reads_back_as_the_same_version(price, free, quota):
    made = plan(price_per_call=price, free_calls=free, quota=quota)
    again = Plan.model_validate_json(made.canonical())
    assert again == made
    assert again.version == made.version


def test_versions_come_into_force_one_after_the_other(book: PlanBook):
    assert book.in_force("starter") == []
    for version, at in (("starter@1", 100), ("starter@1", 200), ("starter@2", 300), ("starter@1", 300)):
        book.enforce(version, at)
    book.enforce("starter-2@9", 50)
    assert book.in_force("starter") == [(100, "starter@1"), (300, "starter@2"), (301, "starter@1")]


def test_terms_as_they_change():
    made = plan(
        monthly_fee=9,
        changes=[
            {"effective_from": "2026-12-01T00:00:00+01:00", "monthly_fee": 0, "model_prices": {"a": 1}},
            {"effective_from": "2027-01-01", "price_per_call": "0.004"},
        ],
    )
    found = [(at, str(t.monthly_fee), str(t.price("a")), str(t.price("b"))) for at, t in made.schedule()]
    assert found == [
        (0, "9", "0.002", "0.002"),
        (1796079600000, "0", "1", "0.002"),
        (1798761600000, "0", "1", "0.004"),
    ]
    assert Plan.model_validate_json(made.canonical()) == made
    assert (
        b'"effective_from":"2026-11-30T23:00:00Z","model_prices":{"a":"1"},"monthly_fee":"0"'
        in made.canonical()
    )


def test_the_versions_of_plans_without_new_settings_are_what_they_were():
    versions = {plan().version, plan(free_calls=1000, rate=10, burst=20, quota=5, monthly_fee=49).version}
    assert versions == {"starter@322d6d1a7107", "starter@14e7878ca54f"}


@pytest.mark.parametrize(
    "prices",
    [
        [{"price": 1}],
        [{"model": "a", "price": 1}, {"model": "a", "price": 2}],
        [{"model": "b", "price": 1}],
    ],
)
def test_two_prices_for_one_call_are_refused(prices):
    with pytest.raises(ValidationError, match="there are two prices a call for"):
        plan(prices=prices, model_prices={"b": 3})
