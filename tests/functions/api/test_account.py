"""Usage, costs and invoices as a customer asks for them, over the real ledger, books and app."""

import csv
import io
from contextlib import closing
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from functions.access.keys import KeyRecord
from functions.access.keys import Plan as Limits
from functions.api.app import create_app
from functions.api.context import Context
from functions.api.page import cursor
from functions.billing.books import Books
from functions.billing.closing import close_month, credit_amount
from functions.billing.plans import Plan, PlanBook
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import DAY_MS, month_span
from models.store import LocalStore

OCTOBER, NOVEMBER = month_span("2026-10")[0], month_span("2026-11")[0]
NOW = NOVEMBER + 15 * DAY_MS  # half of November is over
PLAN = Plan.model_validate(
    {"name": "pro", "currency": "USD", "price_per_call": "0.5", "free_calls": 4, "monthly_fee": 10}
)
EVENT = UsageEvent("", (), "key_1", "cus_a", PLAN.version, "sentiment", "1", "predict", 2, 10, 0, "")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    book, books = PlanBook(LocalStore(folder)), Books(LocalStore(folder / "invoices"), "Payphone")
    book.publish(PLAN)
    rows = [
        EVENT._replace(
            call_id=f"gw:{start}-{n:02}",
            attempts=(f"{start}-{n}",),
            started_at=start + n * DAY_MS // 2,
            model=("sentiment", "digits")[n % 2],
            key_id=f"key_{n % 3}",
            customer=customer,
        )
        for customer, start, count in (
            ("cus_a", OCTOBER, 10),
            ("cus_a", NOVEMBER, 12),
            ("cus_b", OCTOBER + 1, 6),
        )
        for n in range(count)
    ]
    with closing(SqliteLedger(str(folder / "ledger.db"))) as ledger:
        for ticket in [ledger.append(each) for each in rows]:
            ticket.outcome()
    usage = SqliteUsage(str(folder / "ledger.db"))
    held = {customer: {PLAN.version: OCTOBER} for customer in ("cus_a", "cus_b")}
    close_month("2026-10", usage, book, held, books, NOW)
    credit_amount("payphone-000001", PLAN.monthly_fee, "<b>goodwill</b>", books, NOW)
    return SimpleNamespace(usage=usage, book=book, books=books)


@pytest.fixture
def ask(shop):
    def key(customer):
        return KeyRecord("key_1", "d", customer, Limits("pro", PLAN.version, 0, 0, 0), (), 1)

    app = create_app(
        Context(
            identify=lambda request: key(request.headers.get("x-api-key", "cus_a")),
            keys_of=lambda customer: [key(customer)],
            catalog=None,
            usage=shop.usage,
            book=shop.book,
            limits=None,
            now_ms=lambda: NOW,
            version="1",
            proofs=None,
            accounts=None,
            books=shop.books,
            name_of={"cus_a": "Ada <Ltd>"}.get,
        )
    )

    async def with_attempt(scope, receive, send):
        scope.setdefault("state", {})["attempt_id"] = "attempt"
        await app(scope, receive, send)

    client = TestClient(with_attempt)

    def get(path, customer="cus_a", expected=200, **options):
        headers = {"x-api-key": customer, **options.pop("headers", {})}
        answer = client.get(path, headers=headers, params=options)
        assert answer.status_code == expected, answer.text
        return answer if options.get("raw") or headers.keys() - {"x-api-key"} else answer.json()

    return get


def test_usage_is_grouped_as_asked(ask):
    report = ask("/v1/usage")
    assert (report["month"], report["calls"], report["units"], len(report["rows"])) == ("2026-11", 12, 24, 12)
    assert report["rows"][0] == {
        "day": "2026-11-01",
        "model": "digits",
        "version": "1",
        "kind": "predict",
        "plan": PLAN.version,
        "calls": 1,
        "units": 2,
    }
    assert ask("/v1/usage", bucket="month", group_by="model", start="2026-10-01", end="2026-12-01") == {
        "customer": "cus_a",
        "calls": 22,
        "units": 44,
        "rows": [
            {"month": month, "model": model, "calls": calls, "units": 2 * calls}
            for month, calls in (("2026-10", 5), ("2026-11", 6))
            for model in ("digits", "sentiment")
        ],
    }
    keys = ask("/v1/usage", bucket="month", group_by="key", month="2026-10")["rows"]
    assert [(row["key"], row["calls"]) for row in keys] == [("key_0", 4), ("key_1", 3), ("key_2", 3)]
    assert ask("/v1/usage", start="2026-11-01", end="2026-11-02")["calls"] == 2


def test_usage_comes_in_pages(ask):
    whole = ask("/v1/usage", group_by=["model", "key"])["rows"]
    rows, options = [], {}
    while True:
        page = ask("/v1/usage", group_by=["model", "key"], limit=5, **options)
        assert (page["calls"], len(page["rows"]) <= 5) == (12, True)
        rows += page["rows"]
        if "next" not in page:
            break
        options = {"after": page["next"]}
    assert rows == whole


@pytest.mark.parametrize(
    "query",
    [
        {"month": "2026-13"},
        {"month": "2026-11", "start": "2026-11-01", "end": "2026-11-02"},
        {"start": "2026-11-01"},
        {"start": "2026-11-02", "end": "2026-11-02"},
        {"start": "2020-01-01", "end": "2026-11-02"},
        {"start": "1", "end": "2"},
        {"group_by": "customer"},
        {"bucket": "hour"},
        {"limit": 0},
        {"after": "x"},
        {"after": "WzFd"},
        {"after": "é"},
        {"after": cursor(("x",) * 4)},
    ],
    ids=str,
)
def test_what_can_not_be_asked_is_said(ask, query):
    assert ask("/v1/usage", expected=422, **query)["type"].endswith("invalid-parameter")


def test_costs_are_those_of_the_draft_and_projected(ask):
    (cost,) = ask("/v1/costs")["costs"]
    # a fee of 10 and 8 paid calls; twice as many calls by the end of the month, of which 20 are paid
    assert (cost["subtotal"], cost["total"], cost["projected_total"]) == ("14.00", "14.00", "20.00")
    assert cost["lines"][0]["description"] == "monthly fee, plan pro"
    closed = ask("/v1/costs", month="2026-10")
    assert (closed["status"], closed["costs"][0]["total"]) == ("closed", "13.00")
    assert "projected_total" not in closed["costs"][0]
    assert ask("/v1/costs", month="2027-10")["costs"][0]["total"] == "10.00"


def test_invoices_are_listed_newest_first_and_only_ones_own(ask):
    found = ask("/v1/invoices")
    assert [(d["status"], d.get("number"), d["total"]) for d in found["invoices"]] == [
        ("draft", None, "14.00"),
        ("closed", "payphone-000003", "10.00"),
        ("closed", "payphone-000001", "13.00"),
    ]
    first = ask("/v1/invoices", limit=1)
    assert [d.get("number") for d in first["invoices"]] == [None, "payphone-000003"]
    second = ask("/v1/invoices", limit=1, after=first["next"])
    assert ([d["number"] for d in second["invoices"]], "next" in second) == (["payphone-000001"], False)
    assert {d["customer"] for d in ask("/v1/invoices", "cus_b")["invoices"]} == {"cus_b"}
    october = ask("/v1/invoices", month="2026-10")
    assert [d["number"] for d in october["invoices"]] == ["payphone-000003", "payphone-000001"]


def test_one_invoice_comes_as_accept_asks(ask, shop):
    address = "/v1/invoices/payphone-000001"
    document = shop.books.get("payphone-000001")
    assert ask(address) == document
    table = ask(address, headers={"accept": "text/csv, */*;q=0.1"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [*csv.DictReader(io.StringIO(table.text))]
    assert [row["amount"] for row in rows] == [line["amount"] for line in document["lines"]]
    page = ask(address, headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Ada &lt;Ltd&gt;" in page.text
    note = ask("/v1/invoices/payphone-000003", headers={"accept": "text/html"})
    assert "&lt;b&gt;goodwill" in note.text
    assert ask(address, headers={"accept": "application/*;q=0.2, text/csv;q=0"}).json() == document
    refused = ask(address, headers={"accept": "application/pdf"}, expected=406).json()
    assert "application/json, text/csv, text/html" in refused["detail"]


@pytest.mark.parametrize("number", ["payphone-000002", "payphone-000009", "x", "..%2F..%2Fmonths"])
def test_others_invoices_are_not_there(ask, number):
    assert ask(f"/v1/invoices/{number}", expected=404)["type"].endswith("not-found")
