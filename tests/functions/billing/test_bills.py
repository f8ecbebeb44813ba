"""The order of the steps from calls to what there is to pay, each amount worked out by hand."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.billing.bills import Bill, make_bill
from functions.billing.plans import Plan
from functions.billing.pricing import Tally, Unpriced
from functions.billing.tiers import cost, parts

DAY = 86_400_000


def plan(**changes) -> Plan:
    return Plan.model_validate({"name": "pro", "currency": "USD", "price_per_call": "1", **changes})


def bill(made: Plan, *usage, used: str = "0") -> Bill:
    """Usage is (model, kind, calls, units) or the same with its instant before it."""
    tally = Tally(made.currency, {made.version: made}.__getitem__)
    for each in usage:
        at, model, kind, calls, units = each if len(each) == 5 else (0, *each)
        tally.count(at, made.version, model, kind, calls, units)
    tally.hold(made.version)
    return make_bill(tally, used={"pro": Decimal(used)})


def amounts(of) -> list[str]:
    return [str(each.amount) for each in of]


def test_every_step_in_its_order():
    made = plan(
        monthly_fee=10,
        surcharges=[{"name": "support", "percent": "5", "fixed": 1, "minimum": 3}],
        discount={"percent": 10},
        minimum=50,
        prepaid_credit=20,
        taxes=[{"name": "VAT", "percent": "19"}, {"name": "city tax", "percent": "2.5"}],
    )
    found = bill(made, ("m", "predict", 7, 7), used="5")
    # 10 + 7 + max(3, 1.35) = 20, less 2 is 18, up to 50 by 32, less 15 of credit is 35
    assert amounts(found.lines) == ["10.00", "7.00", "3.00", "32.00"]
    assert str(found.subtotal) == "52.00"
    assert amounts(found.discounts) == ["2.00"]
    assert amounts(found.credits) == ["15.00"]
    assert amounts(found.taxes) == ["6.65", "0.88"]
    assert str(found.total) == "42.53"


@pytest.mark.parametrize(
    ("surcharge", "calls", "expected"),
    [
        ({"percent": 10}, 33, "3.30"),
        ({"percent": 10, "fixed": 2}, 33, "5.30"),
        ({"percent": 10, "minimum": 4}, 33, "4.00"),
        ({"percent": 10, "minimum": 4}, 50, "5.00"),
        ({"percent": 0, "fixed": 2}, 1, "2.00"),
        ({"percent": "0.015"}, 100, "0.02"),  # 0.015 rounds away from zero
    ],
)
def test_a_percentage_with_a_fixed_part_and_a_minimum(surcharge, calls, expected):
    found = bill(plan(surcharges=[{"name": "s", **surcharge}]), ("m", "predict", calls, calls))
    assert amounts(found.lines)[1] == expected


@pytest.mark.parametrize(
    ("discount", "off"), [({"percent": 100}, "7.00"), ({"amount": 3}, "3.00"), ({"amount": 9}, "7.00")]
)
def test_a_discount_never_turns_a_bill_around(discount, off):
    found = bill(plan(discount=discount), ("m", "predict", 7, 7))
    assert amounts(found.discounts) == [off]
    assert found.total == 7 - Decimal(off)


def test_credit_is_spent_to_the_cent_and_not_beyond():
    made = plan(prepaid_credit=10)
    assert amounts(bill(made, ("m", "predict", 7, 7)).credits) == ["7.00"]
    assert amounts(bill(made, ("m", "predict", 7, 7), used="7").credits) == ["3.00"]
    assert amounts(bill(made, ("m", "predict", 7, 7), used="10").credits) == []


def test_the_closest_price_holds_alone():
    made = plan(
        model_prices={"digits": 2},
        prices=[
            {"kind": "explain", "price": 4},
            {"model": "digits", "kind": "explain", "price": 8},
            {"kind": "batch", "price": 16},
            {"kind": "batch", "per": "unit", "price": "0.5"},
        ],
    )
    usage = [(model, kind, 1, 3) for model in ("m", "digits") for kind in ("predict", "explain", "batch")]
    found = {(x.model, x.kind, x.per): str(x.amount) for x in bill(made, *usage).lines}
    assert found == {
        ("m", "predict", "call"): "1.00",
        ("m", "explain", "call"): "4.00",
        ("m", "batch", "call"): "16.00",
        ("m", "batch", "unit"): "1.50",
        ("digits", "predict", "call"): "2.00",
        ("digits", "explain", "call"): "8.00",
        ("digits", "batch", "call"): "2.00",  # the model is closer than the kind
    }


def test_a_call_without_a_price_is_refused():
    made = plan(price_per_call=None, prices=[{"model": "digits", "price": 1}])
    with pytest.raises(Unpriced, match="no price for predict calls of sentiment"):
        bill(made, ("sentiment", "predict", 1, 1))


TIERS = [{"up_to": 10, "price": "1"}, {"up_to": 20, "price": "0.5"}, {"price": "0.1"}]


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        ({"tiering": "graduated", "tiers": TIERS}, 10, "10.00"),
        ({"tiering": "graduated", "tiers": TIERS}, 25, "15.50"),
        ({"tiering": "volume", "tiers": TIERS}, 10, "10.00"),
        ({"tiering": "volume", "tiers": TIERS}, 11, "5.50"),
        ({"tiering": "volume", "tiers": TIERS}, 25, "2.50"),
        ({"package": 10, "price": 3}, 1, "3.00"),
        ({"package": 10, "price": 3}, 10, "3.00"),
        ({"package": 10, "price": 3}, 11, "6.00"),
        ({"package": 10, "tiering": "graduated", "tiers": TIERS}, 101, "10.50"),
        ({"package": 10, "tiering": "volume", "tiers": TIERS}, 101, "5.50"),
        ({"package": 10, "price": 3, "per": "unit"}, 11, "9.00"),
    ],
)
def test_tiers_and_packages(price, quantity, expected):
    made = plan(price_per_call=None, prices=[price])
    (line,) = bill(made, ("a", "predict", quantity - 1, 2 * quantity - 1), ("b", "explain", 1, 1)).lines
    assert str(line.amount) == expected
    assert (line.model, line.kind) == ("", "")


def test_free_units_and_free_calls():
    made = plan(
        price_per_call=None, prices=[{"price": 1}, {"per": "unit", "price": 1}], free_calls=2, free_units=5
    )
    found = bill(made, ("m", "predict", 3, 10), ("m", "predict", 1, 4))
    # two of three calls are free, and with them 7 of their 10 units (6.67, rounded up), then 3 and 2 more
    assert [(x.per, x.quantity, x.free, str(x.amount)) for x in found.lines] == [
        ("call", 4, 2, "2.00"),
        ("unit", 14, 12, "2.00"),
    ]


def test_a_change_splits_the_line_at_its_instant():
    made = plan(
        changes=[
            {"effective_from": 10 * DAY, "price_per_call": 2},
            {"effective_from": 20 * DAY, "price_per_call": 0},
        ]
    )
    usage = [(at, "m", "predict", 1, 1) for at in (0, 10 * DAY - 1, 10 * DAY, 20 * DAY - 1, 20 * DAY)]
    assert [(x.since // DAY, x.quantity, str(x.amount)) for x in bill(made, *usage).lines] == [
        (0, 2, "2.00"),
        (10, 2, "4.00"),
        (20, 1, "0.00"),
    ]


def test_a_change_starts_no_tier_anew_and_what_is_by_the_month_waits():
    made = plan(
        price_per_call=None,
        monthly_fee=5,
        free_calls=2,
        prices=[{"tiering": "graduated", "tiers": TIERS}],
        changes=[
            {
                "effective_from": DAY,
                "monthly_fee": 50,
                "prices": [{"tiering": "graduated", "tiers": [{"up_to": 10, "price": 2}, {"price": 1}]}],
            }
        ],
    )
    found = bill(made, (0, "m", "predict", 8, 8), (DAY, "m", "predict", 8, 8))
    assert amounts(found.lines) == ["5.00", "6.00", "12.00"]  # six at 1; then four at 2 and four at 1
    assert bill(made, (DAY, "m", "predict", 8, 8)).lines[0].amount == Decimal(50)


def test_a_currency_without_cents():
    made = plan(currency="JPY", price_per_call="0.4", taxes=[{"name": "tax", "percent": 10}])
    found = bill(made, ("m", "predict", 12, 12))
    assert (str(found.subtotal), amounts(found.taxes), str(found.total)) == ("5", ["1"], "6")


tier_lists = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 500)), min_size=1, max_size=4)


@given(
    widths=tier_lists,
    package=st.integers(1, 4),
    tiering=st.sampled_from(["graduated", "volume"]),
    quantities=st.lists(st.integers(0, 30), min_size=1, max_size=4),
)
def test_tiers_are_the_calls_priced_one_by_one(widths, package, tiering, quantities):
    """An oracle that walks call by call: each begun package pays the price of the tier that it is in."""
    ends = [sum(width for width, _ in widths[: n + 1]) for n in range(len(widths))]
    tiers = [{"up_to": end, "price": str(cents)} for end, (_, cents) in zip(ends, widths, strict=True)]
    del tiers[-1]["up_to"]
    made = plan(price_per_call=None, prices=[{"package": package, "tiering": tiering, "tiers": tiers}])
    (price,) = made.prices

    def price_of(number: int) -> int:
        return next(int(t["price"]) for t in tiers if number <= t.get("up_to", number))

    month = sum(quantities)
    begun = [n for n in range(month) if n % package == 0]
    last = -(-month // package)
    expected = sum(price_of(last if tiering == "volume" else n // package + 1) for n in begun)

    found, before = Fraction(0), 0
    for quantity in quantities:  # the month in pieces
        found += Fraction(cost(parts(price, before, quantity, month)))
        before += quantity
    assert found == expected
