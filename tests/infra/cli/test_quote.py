import time
from contextlib import closing
from decimal import Decimal

import pytest

from functions.metering.accesslog import AccessLog, AccessRecord


def test_a_call_costs_the_sum_of_its_parts(payphone):
    found = payphone.json("quote", "sentiment", "--duration-ms", "2", "--memory", "512")
    # Lambda: 0.002 s x 0.5 GB x 0.0000166667 + 0.0000002; gateway 0.0000035; row 0.000000625
    assert found["parts"]["Lambda, compute"] == "0.0000000166667"
    assert found["parts"]["DynamoDB, one row"] == "0.000000625"
    assert sum(map(Decimal, found["parts"].values())) == Decimal(found["cost"])
    assert Decimal("0.0000043") < Decimal(found["cost"]) < Decimal("0.0000050")
    margins = {plan["plan"]: plan["margin"] for plan in found["plans"]}
    assert margins["trial"] is None
    cost = Decimal(found["cost"])
    assert Decimal(margins["starter"]) == round((Decimal("0.002") - cost) / Decimal("0.002"), 4)
    # four alarms; five metrics of the model and six of the rest
    assert found["month"]["CloudWatch, alarms"] == "0.4"
    assert found["month"]["CloudWatch, metrics if called in every hour"] == "3.3"
    assert "2 ms (as given), 512 MB" in payphone.ok("quote", "sentiment", "--duration-ms", "2")


def test_the_duration_is_measured_in_the_access_log(payphone):
    now = time.time_ns() // 1_000_000
    record = AccessRecord(
        now - 1000, "r", "a", "k", "POST", "/v1/models/sentiment/predict", "sentiment", 200, 9, 7
    )
    others = [record._replace(latency_ms=ms) for ms in (5, 900)]
    others += [record._replace(latency_ms=5000, status=503), record._replace(latency_ms=4000, model="digits")]
    with closing(AccessLog(payphone.place.access_log)) as log:
        log.write(record, *others)
    assert payphone.json("quote", "sentiment")["duration_ms"] == 7


def test_prices_can_be_replaced(payphone, tmp_path):
    from infra.costs import DEFAULT_PRICES

    file = tmp_path / "prices.toml"
    text = DEFAULT_PRICES.read_text()
    file.write_text(text.replace('"0.0000035"', '"0.5"').replace('as_of = "2026-11"', 'as_of = "2030-01"'))
    found = payphone.json("quote", "sentiment", "--duration-ms", "1", "--prices", str(file))
    assert (found["prices"]["as_of"], found["parts"]["API Gateway, request"]) == ("2030-01", "0.5")
    file.write_text(text.replace('"0.0000035"', "-1"))
    assert "prices.toml:8: gateway_request = -1" in payphone.error(
        "quote", "sentiment", "--duration-ms", "1", "--prices", str(file)
    )


@pytest.mark.parametrize(("model", "said"), [("other", "not served"), ("sentiment", "--duration-ms")])
def test_what_can_not_be_quoted_is_said(payphone, model, said):
    assert said in payphone.error("quote", model)


def test_a_hold_is_counted_in(payphone):
    """A row is one write unit; with a wallet and a cap it is three items in a transaction, which are six."""
    held = "[plans.held]\nprice_per_call = 1\nprepaid = true\nspend_cap = 9\nhard_limits = true\n"
    payphone.service.write_text(payphone.service.read_text() + held)
    found = payphone.json("quote", "sentiment", "--duration-ms", "2")
    costs = {plan["plan"]: Decimal(plan["cost"]) for plan in found["plans"]}
    assert costs["starter"] == Decimal(found["cost"])
    assert costs["held"] - costs["starter"] == 5 * Decimal("0.000000625")
