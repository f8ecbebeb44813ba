import csv
import io
import json
from decimal import Decimal
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl

import boto3
import pytest
import stripe
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.meteringmarketplace.models import meteringmarketplace_backends

from functions.billing.bills import make_bill
from functions.billing.documents import bill_document
from functions.billing.exports.meters import (
    NotSent,
    marketplace_records,
    send_to_marketplace,
    send_to_stripe,
    stripe_events,
)
from functions.billing.exports.page import page
from functions.billing.exports.tables import FOCUS_COLUMNS, charges_csv, focus_csv
from functions.billing.plans import Plan
from functions.billing.pricing import Tally
from functions.billing.terms import Price
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span

START, END = month_span("2026-11")
HOUR = 3_600_000

PLAN = Plan.model_validate(
    {
        "name": "pro",
        "currency": "USD",
        "monthly_fee": 49,
        "price_per_call": "0.0015",
        "free_calls": 10,
        "prices": [{"kind": "batch", "package": 100, "price": 2}],
        "discount": {"percent": 10},
        "prepaid_credit": 5,
        "taxes": [{"name": "<VAT>", "percent": 19}],
    }
)


def invoice():
    tally = Tally("USD", {PLAN.version: PLAN}.__getitem__)
    tally.count(START, PLAN.version, "sentiment", "predict", 1241, 1241)
    tally.count(START, PLAN.version, "digits", "batch", 101, 500)
    return {
        "number": "payphone-000007",
        "issuer": "Payphone & Sons",
        "issued_at": "2026-12-01T00:00:00Z",
        "type": "invoice",
        "customer": "cus_a",
        "month": "2026-11",
        **bill_document(make_bill(tally)),
        "rows": {"count": 1342, "sha256": "ab" * 32},
    }


NOTE = {
    "number": "payphone-000008",
    "issuer": "Payphone & Sons",
    "issued_at": "2026-12-02T00:00:00Z",
    "type": "credit_note",
    "customer": "cus_a",
    "month": "2026-11",
    "currency": "USD",
    "invoice": "payphone-000007",
    "reason": "=answered with 500",
    "calls": ["gw:1"],
    "credits": [{"plan": PLAN.version, "amount": "1.00"}],
    "taxes": [{"description": "VAT, 19%", "amount": "0.32"}],
    "total": "2.00",
}


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_charges_sum_up_to_what_there_is_to_pay():
    document = invoice()
    rows = read(charges_csv([document, NOTE]))
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(document["total"]) - 2
    entries = [row["entry"] for row in rows]
    assert entries == ["monthly_fee", "calls", "calls", "discounts", "credits", "taxes", "credit_note"]
    assert rows[-1]["description"] == "'=answered with 500"  # no formula


def test_focus_has_its_columns_and_its_sums():
    document = invoice()
    rows = read(focus_csv([document, NOTE]))
    assert tuple(rows[0]) == FOCUS_COLUMNS
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(document["total"]) - 2
    assert [row["ChargeCategory"] for row in rows] == [
        "Purchase", "Usage", "Usage", "Credit", "Credit", "Tax", "Adjustment",
    ]  # fmt: skip
    mandatory = (
        "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd",
        "ChargeCategory", "ChargeDescription", "ChargePeriodStart", "ChargePeriodEnd", "ContractedCost",
        "EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory",
        "ServiceName",
    )  # fmt: skip
    assert all(row[column] for row in rows for column in mandatory)
    for row in rows:
        if row["ListUnitPrice"]:
            assert Decimal(row["ListCost"]) == Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])
    (plain,) = [row for row in rows if row["SkuId"] == "sentiment/predict/call"]
    assert (plain["ConsumedQuantity"], plain["PricingQuantity"], plain["ListCost"]) == (
        "1241",
        "1231",
        "1.8465",
    )
    (packed,) = [row for row in rows if row["PricingUnit"] == "100 Calls"]
    assert (packed["PricingQuantity"], packed["ListUnitPrice"], packed["BilledCost"]) == ("2", "2", "4.00")
    assert rows[-1]["ChargeClass"] == "Correction"


def test_focus_has_a_row_a_tier_and_what_the_specification_wants_of_nulls():
    tiers = [{"up_to": 100, "price": "0.011"}, {"up_to": 200, "price": "0.0055"}, {"price": "0.001"}]
    made = PLAN.model_copy(
        update={"prices": (Price(tiering="graduated", tiers=tiers),), "price_per_call": None}
    )
    tally = Tally("USD", {made.version: made}.__getitem__)
    tally.count(START, made.version, "sentiment", "predict", 333, 333)
    document = {**invoice(), **bill_document(make_bill(tally))}
    rows = read(focus_csv([document]))
    usage = [row for row in rows if row["ChargeCategory"] == "Usage"]
    # ten are free; 100 at 0.011, 100 at 0.0055, 123 at 0.001 make 1.773, billed as 1.77
    assert [(r["ConsumedQuantity"], r["PricingQuantity"], r["ListCost"], r["BilledCost"]) for r in usage] == [
        ("110", "100", "1.1", "1.1"),
        ("100", "100", "0.55", "0.55"),
        ("123", "123", "0.123", "0.12"),
    ]
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(document["total"])
    priced = ("PricingQuantity", "PricingUnit", "ListUnitPrice", "SkuId", "SkuPriceId")
    for row in rows:
        for column in priced:
            assert bool(row[column]) == (row["ChargeCategory"] in ("Usage", "Purchase")), (row, column)
        if row["ChargeCategory"] == "Purchase":
            assert row["ChargeFrequency"] != "Usage-Based"
        for column in ("BilledCost", "ListCost", "ContractedCost", "EffectiveCost"):
            assert Decimal(row[column]).is_finite()


class Balanced(HTMLParser):
    """Every tag is closed in its turn, and nothing is fetched or run."""

    VOID = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "img", "iframe")
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onload"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


@pytest.mark.parametrize("document", [invoice(), NOTE], ids=["invoice", "credit note"])
def test_a_page_is_whole_and_escapes_what_others_wrote(document):
    parser = Balanced()
    parser.feed(page(document, "<script>alert(1)</script> & Co"))
    parser.close()
    assert parser.open == []
    text = " ".join(parser.text)
    for expected in (
        document["number"],
        "<script>alert(1)</script> & Co",
        "Payphone & Sons",
        document["total"],
    ):
        assert expected in text


def test_a_page_shows_every_amount():
    parser = Balanced()
    parser.feed(page(invoice(), "Ada"))
    for amount in ("49.00", "1.85", "4.00", "−5.49", "−5.00", "8.43", "52.79", "1,241", "<VAT>, 19%"):
        assert amount in parser.text, amount


def row(number: int, at: int, customer: str = "cus_a", model: str = "sentiment") -> UsageEvent:
    return UsageEvent(f"gw:{number}", (), "key", customer, "p@1", model, "1", "predict", 1, 1, at, "")


def test_stripe_events_count_every_call_once_and_are_the_same_again():
    rows = [row(n, START + n * 7 * HOUR) for n in range(9)] + [
        row(n, START + n, model="digits") for n in (10, 11)
    ]
    events = stripe_events(rows, "payphone-000007", "cus_stripe", "calls")
    assert sum(int(event["payload"]["value"]) for event in events) == len(rows)
    assert events == stripe_events(reversed(rows), "payphone-000007", "cus_stripe", "calls")
    ids = {event["identifier"] for event in events}
    assert len(ids) == len(events) == 4
    assert not ids & {e["identifier"] for e in stripe_events(rows, "payphone-000008", "cus_stripe", "calls")}
    assert all(len(event["identifier"]) <= 100 and event["timestamp"] < END // 1000 for event in events)


def test_nothing_is_sent_to_stripe_that_it_would_refuse():
    events = stripe_events([row(1, START)], "payphone-000007", "cus_stripe", "calls")
    with pytest.raises(NotSent, match="over 35 days old: nothing was sent"):
        send_to_stripe(None, events, START + 36 * 24 * HOUR)


class StripeStandIn(BaseHTTPRequestHandler):
    """Takes a meter event as Stripe does, an identifier once."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        event = dict(parse_qsl(body))
        self.server.taken.setdefault((self.path, self.headers["authorization"]), {})[event["identifier"]] = (
            event
        )
        answer = json.dumps({"object": "billing.meter_event", "livemode": False, **event}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_the_real_stripe_library_sends_what_stripe_takes():
    with ThreadingHTTPServer(("127.0.0.1", 0), StripeStandIn) as server:
        server.taken = {}
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        client = stripe.StripeClient("sk_test_1", base_addresses={"api": address})
        rows = [row(n, START + n * 7 * HOUR) for n in range(9)]
        events = stripe_events(rows, "payphone-000007", "cus_stripe", "calls")
        for _ in range(2):
            assert send_to_stripe(client, events, START + 10 * 24 * HOUR) == len(events) == 3
        server.shutdown()
    ((path, key), taken), *others = server.taken.items()
    assert (path, key, others) == ("/v1/billing/meter_events", "Bearer sk_test_1", [])
    assert sum(int(event["payload[value]"]) for event in taken.values()) == 9
    assert {event["payload[stripe_customer_id]"] for event in taken.values()} == {"cus_stripe"}
    assert {event["event_name"] for event in taken.values()} == {"calls"}
    assert all(START // 1000 <= int(event["timestamp"]) < END // 1000 for event in taken.values())


@pytest.fixture
def marketplace():
    """The Marketplace, with sixty buyers subscribed to the product."""
    with mock_aws():
        backend = meteringmarketplace_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
        backend.customers_by_product["product"].extend(f"buyer-{n}" for n in range(60))
        yield boto3.client(
            "meteringmarketplace", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )


BUYERS = {f"cus_{n}": f"buyer-{n}" for n in range(61)}
DIMENSIONS = {"sentiment": "predictions"}


def test_marketplace_records_are_by_hour_buyer_and_dimension():
    rows = [row(n, START + n * HOUR // 4, f"cus_{n % 2}") for n in range(8)]
    others = [row(8, START, "cus_elsewhere"), row(9, START, "cus_0", "digits")]
    records = list(marketplace_records(rows + others, BUYERS, DIMENSIONS))
    assert [(r["Timestamp"], r["CustomerIdentifier"], r["Quantity"]) for r in records] == [
        (START // 1000, "buyer-0", 2),
        (START // 1000, "buyer-1", 2),
        (START // 1000 + 3600, "buyer-0", 2),
        (START // 1000 + 3600, "buyer-1", 2),
    ]


def test_records_go_out_25_at_a_time_and_may_go_out_again(marketplace):
    sent = []
    event = "provide-client-params.marketplace-metering.BatchMeterUsage"
    marketplace.meta.events.register(event, lambda params, **_: sent.append(params["UsageRecords"]))
    records = list(marketplace_records([row(n, START, f"cus_{n}") for n in range(60)], BUYERS, DIMENSIONS))
    for _ in range(2):
        assert send_to_marketplace(marketplace, "product", records, START + 2 * HOUR) == 60
    assert [len(batch) for batch in sent] == [25, 25, 10] * 2


def test_what_the_marketplace_does_not_take_is_named(marketplace):
    records = list(marketplace_records([row(1, START, "cus_1"), row(2, START, "cus_60")], BUYERS, DIMENSIONS))
    with pytest.raises(NotSent, match="did not take 1 records: buyer-60"):
        send_to_marketplace(marketplace, "product", records, START + 2 * HOUR)


@pytest.mark.parametrize(
    ("now", "said"), [(HOUR - 1, "the current hour is not over"), (6 * HOUR + 1, "over 6 hours old")]
)
def test_records_out_of_time_are_not_sent(marketplace, now, said):
    records = list(marketplace_records([row(1, START)], {"cus_a": "b"}, {"sentiment": "d"}))
    with pytest.raises(NotSent, match=said):
        send_to_marketplace(marketplace, "product", records, START + now)
