from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.billing.amounts import round_amount
from functions.billing.bills import make_bill
from functions.billing.plans import Plan
from functions.billing.pricing import CALLS, FEE, Tally
from functions.metering.event import UsageEvent


def plan(name: str = "starter", price: str = "0.002", **changes) -> Plan:
    return Plan.model_validate({"name": name, "currency": "USD", "price_per_call": price, **changes})


def row(number: int, version: str, model: str = "sentiment", kind: str = "predict") -> UsageEvent:
    return UsageEvent(
        f"gw:{number}", (str(number),), "key_1", "cus_1", version, model, "1", kind, 1, 10, number, ""
    )


def tally(plans: list[Plan], rows: list[UsageEvent], currency: str = "USD") -> Tally:
    counted = Tally(currency, {p.version: p for p in plans}.__getitem__)
    for each in rows:
        counted.add(each)
    return counted


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("0.005", "USD", "0.01"),
        ("0.0049999", "USD", "0.00"),
        ("0.015", "USD", "0.02"),
        ("0.025", "USD", "0.03"),
        ("-0.005", "USD", "-0.01"),
        ("0.5", "JPY", "1"),
        ("2.5", "JPY", "3"),
        ("1.0005", "KWD", "1.001"),
        ("7", "EUR", "7.00"),
    ],
)
def test_halves_round_away_from_zero_to_the_minor_unit(amount, currency, rounded):
    assert str(round_amount(Decimal(amount), currency)) == rounded


def test_a_line_is_rounded_once():
    # 3 x 0.004 is 0.012: rounding each call would give nothing, or three times too much
    (line,) = tally(
        [plan(price="0.004")], [row(n, plan(price="0.004").version) for n in range(3)]
    ).usage_lines()
    assert line.amount == Decimal("0.01")


def test_lines_are_by_version_model_and_kind():
    old, new = plan(), plan(price="0.003", model_prices={"digits": 1})
    rows = [
        row(1, old.version),
        row(2, new.version),
        row(3, new.version, model="digits"),
        row(4, new.version, kind="explain"),
        row(5, new.version),
    ]
    lines = tally([old, new], rows).usage_lines()
    found = {(x.plan, x.model, x.kind): (x.quantity, x.unit_price, str(x.amount)) for x in lines}
    assert found == {
        (old.version, "sentiment", "predict"): (1, Decimal("0.002"), "0.00"),
        (new.version, "sentiment", "predict"): (2, Decimal("0.003"), "0.01"),
        (new.version, "sentiment", "explain"): (1, Decimal("0.003"), "0.00"),
        (new.version, "digits", "predict"): (1, Decimal("1"), "1.00"),
    }


def test_the_first_calls_of_the_month_are_free_whatever_model():
    made = plan(price="1", free_calls=3, model_prices={"digits": 5})
    rows = [row(n, made.version, "digits" if n % 2 else "sentiment") for n in range(6)]
    lines = {line.model: line for line in tally([made], rows).usage_lines()}
    assert (lines["sentiment"].free, lines["digits"].free) == (2, 1)
    assert (lines["sentiment"].amount, lines["digits"].amount) == (Decimal("1.00"), Decimal("10.00"))


def test_an_edit_in_mid_month_grants_no_second_allowance():
    old, new = plan(price="1", free_calls=2), plan(price="2", free_calls=3)
    rows = [row(n, old.version) for n in range(4)] + [row(n, new.version) for n in range(4, 6)]
    lines = {line.plan: line for line in tally([old, new], rows).usage_lines()}
    assert (lines[old.version].free, lines[new.version].free) == (2, 0)


def test_two_plans_have_an_allowance_each():
    one, two = plan("one", "1", free_calls=1), plan("two", "1", free_calls=1)
    rows = [row(1, one.version), row(2, two.version), row(3, one.version), row(4, two.version)]
    assert [line.free for line in tally([one, two], rows).usage_lines()] == [1, 1]


def test_the_fee_is_that_of_the_first_call_and_once():
    old, new = plan(monthly_fee=10), plan(monthly_fee=20)
    counted = tally([old, new], [row(1, old.version), row(2, new.version)])
    counted.hold(new.version)
    fees = [line for line in make_bill(counted).lines if line.item == FEE]
    assert [(fee.plan, str(fee.amount)) for fee in fees] == [(old.version, "10.00")]


def test_an_unused_plan_charges_its_fee_if_a_key_was_on_it():
    made = plan(monthly_fee=10)
    counted = tally([made], [])
    assert make_bill(counted).lines == ()
    counted.hold(made.version)
    (fee,) = make_bill(counted).lines
    assert (fee.item, fee.quantity, str(fee.amount)) == (FEE, 1, "10.00")


def test_no_amount_is_too_large_to_be_exact():
    # The exact product ends in .…4999999999: rounded first to Decimal's usual 28 digits, it would round up.
    made = plan(price="999999999.995000000001")
    quantity = 10**15 - 1
    counted = tally([made], [])
    counted.count(1, made.version, "sentiment", "predict", quantity, quantity)
    (line,) = counted.usage_lines()
    assert int(line.amount * 100) == (999999999995000000001 * quantity + 5 * 10**9) // 10**10


prices = st.decimals(min_value=0, max_value=100, places=6).map(abs)
plans = st.builds(
    lambda name, price, own, free, fee: plan(
        name, str(price), model_prices={"digits": str(own)}, free_calls=free, monthly_fee=fee
    ),
    st.sampled_from(["one", "two"]),
    prices,
    prices,
    st.integers(0, 20),
    st.integers(0, 50),
)


@given(st.data())
def test_lines_are_the_calls_priced_one_by_one(data):
    """An oracle that shares no code: exact fractions, call by call, rounded a line at the end."""
    known = data.draw(st.lists(plans, min_size=1, max_size=4))
    calls = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(known),
                st.sampled_from(["sentiment", "digits"]),
                st.sampled_from(["predict", "batch"]),
            ),
            max_size=60,
        )
    )
    rows = [row(n, p.version, model, kind) for n, (p, model, kind) in enumerate(calls)]
    bill = make_bill(tally(known, rows))
    lines = bill.lines

    exact: dict[tuple[str, str, str], Fraction] = {}
    fees: dict[str, Plan] = {}
    for number, (p, model, kind) in enumerate(calls):
        before = sum(1 for other, _, _ in calls[:number] if other.name == p.name)
        price = Fraction(0) if before < p.free_calls else Fraction(p.price(model))
        key = (p.version, model, kind)
        exact[key] = exact.get(key, Fraction(0)) + price
        fees.setdefault(p.name, p)
    cents = {key: int(value * 100 + Fraction(1, 2)) for key, value in exact.items()}

    assert {(x.plan, x.model, x.kind): int(x.amount * 100) for x in lines if x.item == CALLS} == cents
    assert sum(x.quantity for x in lines if x.item == CALLS) == len(calls)
    fee_cents = sum(int(p.monthly_fee) * 100 for p in fees.values())
    assert int(bill.total * 100) == sum(cents.values()) + fee_cents
    assert sum((x.amount for x in lines), Decimal(0)) == bill.total
