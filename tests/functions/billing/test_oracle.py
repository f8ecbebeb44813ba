"""A second opinion: bills computed call by call in exact fractions, by code that shares nothing with ours."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.billing.bills import make_bill
from functions.billing.plans import Plan
from functions.billing.pricing import Tally

DAY = 86_400_000
DECIMALS = {"JPY": 0, "USD": 2, "KWD": 3, "CLF": 4}


def rounded(amount: Fraction, decimals: int) -> Fraction:
    """Halves away from zero; amounts are never negative."""
    unit = 10**decimals
    return Fraction(int(amount * unit * 2 + 1) // 2, unit)


def terms_at(spec: dict, time: int) -> dict:
    found = spec
    for change in spec.get("changes", []):
        if change["effective_from"] <= time:
            found = {**found, **{k: v for k, v in change.items() if k != "effective_from"}, "since": time}
            found["since"] = change["effective_from"]
    return found


def prices_for(terms: dict, model: str, kind: str) -> list[dict]:
    everything = [*terms.get("prices", []), {"price": terms["price_per_call"]}]
    for names in ((model, kind), (model, None), (None, kind), (None, None)):
        if fitting := [p for p in everything if (p.get("model"), p.get("kind")) == names]:
            return fitting
    return []


def tier_price(price: dict, number: int) -> Fraction:
    if "price" in price:
        return Fraction(price["price"])
    return next(Fraction(t["price"]) for t in price["tiers"] if number <= t.get("up_to", number))


def second_opinion(spec: dict, calls: list[tuple[int, str, str, int]]) -> dict:
    """Every call by itself: what it pays, on which line."""
    decimals = DECIMALS[spec["currency"]]
    paid: list[tuple[tuple, tuple, dict]] = []  # line, what its tiers count, price; one entry a paid item
    lines: dict[tuple, Fraction] = {}
    freed = 0
    for made, (time, model, kind, units) in enumerate(calls):
        terms = terms_at(spec, time)
        free_call = made < terms.get("free_calls", 0)
        for price in prices_for(terms, model, kind):
            counter = (price.get("model"), price.get("kind"), price.get("per", "call"))
            whole = "tiers" in price or price.get("package", 1) > 1
            line = (terms.get("since", 0), *(counter[:2] if whole else (model, kind)), counter[2])
            lines.setdefault(line, Fraction(0))
            items = 0 if free_call else 1 if counter[2] == "call" else units
            if counter[2] == "unit" and not free_call:
                given = min(units, max(0, terms.get("free_units", 0) - freed))
                freed += given
                items -= given
            paid += [(line, counter, price)] * items
    month: dict[tuple, int] = {}
    for _, counter, _ in paid:
        month[counter] = month.get(counter, 0) + 1
    seen: dict[tuple, int] = {}
    for line, counter, price in paid:
        seen[counter] = number = seen.get(counter, 0) + 1
        size = price.get("package", 1)
        if (number - 1) % size == 0:
            last = -(-month[counter] // size)
            lines[line] += tier_price(
                price, last if price.get("tiering") == "volume" else (number - 1) // size + 1
            )
    first = terms_at(spec, calls[0][0] if calls else 0)
    usage = [rounded(amount, decimals) for amount in lines.values()]
    charged = sum(usage, Fraction(0))
    extra = [Fraction(first.get("monthly_fee", 0))]
    for each in first.get("surcharges", []):
        asked = Fraction(each["percent"]) / 100 * charged + Fraction(each.get("fixed", 0))
        extra.append(rounded(max(asked, Fraction(each.get("minimum", 0))), decimals))
    net = charged + sum(extra)
    discount = first.get("discount", {"amount": 0})
    off = (
        Fraction(discount["percent"]) / 100 * net
        if "percent" in discount
        else min(Fraction(discount["amount"]), net)
    )
    discounted = rounded(off, decimals)
    net -= discounted
    lacking = max(Fraction(0), Fraction(first.get("minimum", 0)) - net)
    net += lacking
    credit = min(Fraction(first.get("prepaid_credit", 0)), net)
    net -= credit
    taxes = [rounded(Fraction(tax["percent"]) / 100 * net, decimals) for tax in first.get("taxes", [])]
    amounts = [*usage, *extra, lacking]
    return {
        "lines": sorted(usage),
        "subtotal": sum(amounts),
        "discounts": discounted,
        "credits": credit,
        "taxes": sum(taxes, Fraction(0)),
        "total": net + sum(taxes, Fraction(0)),
    }


money = st.integers(0, 3000).map(lambda n: str(Decimal(n) / 1000))
percents = st.integers(0, 1000).map(lambda n: str(Decimal(n) / 10))
whole = st.integers(0, 60)
selections = st.sampled_from(
    [(m, k, per) for m in (None, "m") for k in (None, "explain") for per in ("call", "unit")]
)


@st.composite
def price_lists(draw):
    prices = []
    for model, kind, per in draw(st.lists(selections, min_size=1, max_size=4, unique=True)):
        if (model, kind, per) == (None, None, "call"):
            continue  # that is price_per_call
        price = {"per": per} | ({"model": model} if model else {}) | ({"kind": kind} if kind else {})
        if draw(st.integers(0, 2)) == 0:
            price["package"] = draw(st.integers(2, 4))
        if draw(st.integers(0, 2)):
            ends = draw(st.lists(st.integers(1, 9), max_size=3, unique=True).map(sorted))
            tiers = [{"up_to": end, "price": draw(money)} for end in ends]
            price |= {
                "tiering": draw(st.sampled_from(["graduated", "volume"])),
                "tiers": [*tiers, {"price": draw(money)}],
            }
        else:
            price["price"] = draw(money)
        prices.append(price)
    return prices


@st.composite
def specs(draw):
    spec = {
        "name": "pro",
        "currency": draw(st.sampled_from(sorted(DECIMALS))),
        "price_per_call": draw(money),
        "prices": draw(price_lists()),
        "free_calls": draw(st.integers(0, 4)),
        "free_units": draw(st.integers(0, 9)),
        "monthly_fee": draw(whole),
        "minimum": draw(whole),
        "prepaid_credit": draw(whole),
        "surcharges": draw(
            st.lists(
                st.fixed_dictionaries({"percent": percents, "fixed": whole, "minimum": whole}), max_size=2
            )
        ),
        "taxes": draw(st.lists(st.fixed_dictionaries({"percent": percents}), max_size=2)),
    }
    spec["surcharges"] = [{"name": f"s{n}", **each} for n, each in enumerate(spec["surcharges"])]
    spec["taxes"] = [{"name": f"t{n}", **each} for n, each in enumerate(spec["taxes"])]
    if draw(st.booleans()):
        spec["discount"] = draw(
            st.one_of(percents.map(lambda p: {"percent": p}), st.integers(0, 90).map(lambda a: {"amount": a}))
        )
    instants = draw(st.lists(st.integers(1, 10 * DAY), max_size=2, unique=True).map(sorted))
    spec["changes"] = [
        {"effective_from": at, "price_per_call": draw(money), "free_calls": draw(st.integers(0, 9))}
        | ({"prices": draw(price_lists())} if draw(st.integers(0, 3)) == 0 else {})
        | ({"monthly_fee": draw(whole)} if draw(st.booleans()) else {})
        for at in instants
    ]
    return spec


calls_made = st.lists(
    st.tuples(
        st.integers(0, 10 * DAY),
        st.sampled_from(["m", "n"]),
        st.sampled_from(["predict", "explain"]),
        st.integers(0, 4),
    ),
    min_size=0,
    max_size=40,
).map(sorted)


@settings(max_examples=300, deadline=None)
@given(specs(), calls_made)
def test_two_computations_agree_to_the_last_digit(spec, calls):
    plan = Plan.model_validate(spec)
    tally = Tally(plan.currency, {plan.version: plan}.__getitem__)
    for time, model, kind, units in calls:
        tally.count(time, plan.version, model, kind, 1, units)
    tally.hold(plan.version)
    bill = make_bill(tally)
    found = {
        "lines": sorted(Fraction(line.amount) for line in bill.lines if line.item == "calls"),
        "subtotal": Fraction(bill.subtotal),
        **{
            name: sum((Fraction(e.amount) for e in getattr(bill, name)), Fraction(0))
            for name in ("discounts", "credits", "taxes")
        },
        "total": Fraction(bill.total),
    }
    assert found == second_opinion(spec, calls)
    for amount in (bill.subtotal, bill.total, *(line.amount for line in bill.lines)):
        assert -amount.as_tuple().exponent == DECIMALS[plan.currency]
