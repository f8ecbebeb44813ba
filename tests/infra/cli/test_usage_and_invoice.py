import pytest

MONTH = ("--month", "2026-11")


@pytest.fixture
def keys(payphone, customer, make_calls):
    """Ada made 1,003 calls on starter with two keys, Bob holds a pro key he has not used."""
    bob = payphone.json("customer", "add", "Bob", "bob@example.com")["customer"]
    made = {
        name: payphone.json("key", "issue", of, "--plan", plan)["key_id"]
        for name, of, plan in (("a1", customer, "starter"), ("a2", customer, "starter"), ("b", bob, "pro"))
    }
    make_calls(made["a1"], 1000)
    make_calls(made["a2"], 3, units=5)
    return {**made, "ada": customer, "bob": bob}


def groups(document, by):
    return {group[by]: (group["calls"], group["units"]) for group in document["groups"]}


def test_usage_by_everything(payphone, keys):
    by_day = payphone.json("usage", *MONTH)
    assert (by_day["calls"], by_day["units"]) == (1003, 1015)
    assert len(by_day["groups"]) == 28
    assert groups(by_day, "day")["2026-11-28"] == (35, 35)
    for by, expected in {
        "model": {"sentiment": (1003, 1015)},
        "version": {"sentiment 1": (1003, 1015)},
        "kind": {"predict": (1003, 1015)},
        "customer": {keys["ada"]: (1003, 1015)},
        "key": {keys["a1"]: (1000, 1000), keys["a2"]: (3, 15)},
    }.items():
        assert groups(payphone.json("usage", *MONTH, "--by", by), by) == expected


def test_usage_of_one_customer_and_month(payphone, keys):
    assert payphone.json("usage", *MONTH, "--customer", "bob@example.com")["calls"] == 0
    assert payphone.json("usage", "--month", "2026-10")["calls"] == 0
    assert "No billed calls in 2026-10" in payphone.ok("usage", "--month", "2026-10")


def test_usage_as_a_table(payphone, keys):
    text = payphone.ok("usage", *MONTH, "--by", "customer")
    assert "Ada Ltd" in text
    assert "1,003" in text
    assert "█" in text


def test_preview_has_a_line_a_customer(payphone, keys):
    december = payphone.json("invoice", "preview", "--month", "2099-12")
    assert [invoice["customer"] for invoice in december["invoices"]] == [keys["bob"]]
    preview = payphone.json("invoice", "preview", *MONTH)
    ada = next(invoice for invoice in preview["invoices"] if invoice["customer"] == keys["ada"])
    assert ada == {"customer": keys["ada"], "currency": "USD", "calls": 1003, "total": "0.01"}
    only = payphone.json("invoice", "preview", *MONTH, "--customer", "ada@example.com")
    assert only["invoices"] == [ada]
    text = payphone.ok("invoice", "preview", *MONTH)
    assert "Ada Ltd" in text
    assert "1,003" in text


def test_show_is_the_whole_document(payphone, keys):
    document = payphone.json("invoice", "show", "Ada Ltd", *MONTH)
    (invoice,) = document["invoices"]
    assert document["customer"] == invoice["customer"] == keys["ada"]
    (line,) = invoice["lines"]
    assert (line["quantity"], line["free"], line["unit_price"], line["amount"]) == (
        1003,
        1000,
        "0.002",
        "0.01",
    )
    assert invoice["total"] == "0.01"
    assert invoice["rows"]["count"] == 1003
    text = payphone.ok("invoice", "show", "Ada Ltd", *MONTH)
    assert "1,003 ledger rows" in text
    assert line["plan"] in text


def test_an_unused_plan_owes_its_fee(payphone, keys):
    (invoice,) = payphone.json("invoice", "show", "Bob", "--month", "2099-12")["invoices"]
    assert (invoice["total"], invoice["rows"]["count"]) == ("49.00", 0)


def test_an_erased_customer_can_still_be_billed(payphone, keys):
    payphone.ok("customer", "erase", keys["ada"], "--yes")
    (invoice,) = payphone.json("invoice", "show", keys["ada"], *MONTH)["invoices"]
    assert invoice["total"] == "0.01"
    assert "(erased)" in payphone.ok("invoice", "preview", *MONTH)


def test_nothing_to_invoice_is_said(payphone, customer):
    assert "Nothing to invoice" in payphone.ok("invoice", "preview", *MONTH)
    assert "nothing to invoice" in payphone.ok("invoice", "show", customer, *MONTH)
    assert payphone.json("invoice", "show", customer, *MONTH)["invoices"] == []


def test_a_lost_plan_version_is_named(payphone, keys):
    for file in payphone.place.plans.glob("starter@*"):
        file.unlink()
    message = payphone.error("invoice", "preview", *MONTH)
    assert "starter@" in message
    assert "restore plans/" in message
