"""The commands around closed invoices, from a month's calls to credit notes and exports."""

import json
from contextlib import closing

import pytest

from functions.metering.accesslog import AccessLog, AccessRecord
from functions.metering.usage import month_span

MONTH = "2026-10"
START, END = month_span(MONTH)


@pytest.fixture
def sold(payphone, customer):
    """Ada's 1,010 calls of October with their log lines, and one line of November."""
    from functions.metering.event import UsageEvent

    key_id = payphone.json("key", "issue", customer, "--plan", "starter")["key_id"]
    with closing(payphone.place.keys()) as keys:
        key = keys.get(key_id)
    rows = [
        UsageEvent(
            f"gw:a{n}", (f"a{n}",), key_id, customer, key.plan.version, "sentiment", "1", "predict", 1, 10,
            START + n * 1000, "",
        )
        for n in range(1010)
    ]  # fmt: skip
    path = "/v1/models/sentiment/predict"
    lines = [
        AccessRecord(r.started_at, r.attempts[0], r.attempts[0], key_id, "POST", path, r.model, 200, 9, 1)
        for r in rows
    ]
    with closing(payphone.place.ledger()) as ledger:
        for ticket in [ledger.append(row) for row in rows]:
            ticket.outcome()
    with closing(AccessLog(payphone.place.access_log)) as log:
        log.write(*lines, lines[0]._replace(time=END, attempt_id="x", method="GET", model="", key_id=""))
    return customer


def test_close_list_show(payphone, sold):
    closed = payphone.json("invoice", "close", "--month", MONTH)
    (invoice,) = closed["invoices"]
    assert (closed["left_out"], invoice["number"], invoice["total"]) == ({}, "payphone-000001", "0.02")
    assert payphone.json("invoice", "close", "--month", MONTH) == closed
    assert payphone.json("invoice", "list") == {"documents": [invoice]}
    assert payphone.json("invoice", "list", "--month", "2026-09") == {"documents": []}
    assert payphone.json("invoice", "show", "payphone-000001") == invoice
    assert payphone.json("invoice", "show", "Ada Ltd", "--month", MONTH)["invoices"] == [invoice]
    assert payphone.json("invoice", "preview", "--month", MONTH)["status"] == "closed"
    assert "payphone-000001" in payphone.ok("invoice", "list")
    assert "Closed invoice payphone-000001" in payphone.ok("invoice", "show", "payphone-000001")


def test_reconcile_says_so_if_all_agree(payphone, sold):
    for status in ("open", "closed"):
        report = payphone.json("reconcile", "--month", MONTH)
        assert (report["status"], report["agrees"], report["answered"], report["billed"]) == (
            status,
            True,
            1010,
            1010,
        )
        assert len(payphone.ok("reconcile", "--month", MONTH).splitlines()) == 1
        payphone.ok("invoice", "close", "--month", MONTH)
    assert payphone.json("reconcile", "--month", MONTH, "--customer", "Ada Ltd")["billed"] == 1010


def test_reconcile_credits_on_evidence(payphone, sold):
    payphone.ok("invoice", "close", "--month", MONTH)
    (file,) = payphone.place.access_log.glob("2026-10-01*")
    text = file.read_text()
    for call in ("a1005", "a1006"):
        line = next(line for line in text.splitlines() if f'"{call}"' in line)
        text = text.replace(line, line.replace('"status":200', '"status":502'))
    file.write_text(text)
    result = payphone("reconcile", "--month", MONTH, "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["agrees"], report["counts"]) == (1, False, {"failed": 2})
    assert [finding["call"] for finding in report["findings"]] == ["gw:a1005", "gw:a1006"]
    assert "answered with 502" in payphone("reconcile", "--month", MONTH).stdout
    mended = payphone.json("reconcile", "--month", MONTH, "--credit")
    assert (mended["agrees"], mended["credit_notes"]) == (True, ["payphone-000002"])
    note = payphone.json("invoice", "show", "payphone-000002")
    assert (note["invoice"], note["calls"]) == ("payphone-000001", ["gw:a1005", "gw:a1006"])
    assert payphone.json("reconcile", "--month", MONTH, "--credit")["credit_notes"] == []


def test_credit(payphone, sold):
    payphone.ok("invoice", "close", "--month", MONTH)
    note = payphone.json("invoice", "credit", "payphone-000001", "--amount", "0.01", "--reason", "goodwill")
    assert note["total"] == "0.01"
    assert "Credit note payphone-000003" in payphone.ok(
        "invoice", "credit", "payphone-000001", "--call", "gw:a7", "--reason", "a mistake"
    )
    for arguments, said in (
        (("payphone-000001", "--amount", "9", "--reason", "x"), "up to 0.01 USD"),
        (("payphone-000001", "--amount", "much", "--reason", "x"), "an amount such as"),
        (("payphone-000001", "--reason", "x"), "either --call or --amount"),
        (("payphone-000009", "--amount", "1", "--reason", "x"), "no invoice has the number"),
        (("payphone-000001", "--call", "gw:zz", "--reason", "x"), "does not bill gw:zz"),
    ):
        assert said in payphone.error("invoice", "credit", *arguments)


def test_a_month_that_is_not_ready_does_not_close(payphone, sold):
    assert "is not over" in payphone.error("invoice", "close", "--month", "2099-01")
    with closing(payphone.place.ledger()) as ledger:
        row = ledger.get("gw:a1")
        ledger.append(row._replace(call_id="gw:n", attempts=("n",))).outcome()
    assert "1 calls have no line" in payphone.error("invoice", "close", "--month", MONTH)
    closed = payphone.json("invoice", "close", "--month", MONTH, "--leave-out-unproven")
    assert closed["left_out"] == {"gw:n": "unproven"}


def test_exports(payphone, sold, tmp_path):
    payphone.ok("invoice", "close", "--month", MONTH)
    number = "payphone-000001"
    assert json.loads(payphone.ok("invoice", "export", number)) == payphone.json("invoice", "show", number)
    assert payphone.ok("invoice", "export", "--month", MONTH, "--format", "csv").startswith("number,type")
    assert "BilledCost" in payphone.json("invoice", "export", number, "--format", "focus")["text"]
    page = tmp_path / "invoice.html"
    payphone.ok("invoice", "export", number, "--format", "html", "--out", str(page))
    assert "Ada Ltd" in page.read_text()
    stripe = payphone.ok("invoice", "export", number, "--format", "stripe", "--stripe-customer", "cus_s")
    events = json.loads(stripe)
    assert (events["sent"], sum(int(e["payload"]["value"]) for e in events["events"])) == (False, 1010)
    payphone.ok("customer", "erase", sold, "--yes")
    assert "(erased)" in payphone.ok("invoice", "export", number, "--format", "html")
    assert "either an invoice's number or --month" in payphone.error("invoice", "export")
    assert "no closed invoices" in payphone.error("invoice", "export", "--month", "2026-09")
    assert "--stripe-customer" in payphone.error("invoice", "export", number, "--format", "stripe")


def test_days_are_in_the_daybook_once_they_are_sealed(payphone, sold):
    payphone.ok("seal", "run")
    kept = sorted((payphone.place.invoices / "rows").rglob("*.*"))
    assert {file.suffix for file in kept} == {".json", ".parquet"}  # named by their content
    payphone.json("invoice", "close", "--month", MONTH)
    assert sorted((payphone.place.invoices / "rows").rglob("*.*")) == kept
