import re
import sqlite3
from contextlib import closing

import pytest

from functions.access.keys import digest


def test_customers_come_and_go(payphone, customer):
    assert payphone.json("customer", "list")["customers"][0]["email"] == "ada@example.com"
    assert "Ada Ltd" in payphone.ok("customer", "list")
    issued = payphone.json("key", "issue", customer, "--plan", "starter")
    erased = payphone.json("customer", "erase", "Ada Ltd", "--yes")
    assert erased == {"customer": customer, "erased": True, "keys_revoked": [issued["key_id"]]}
    assert payphone.json("customer", "list") == {"customers": []}
    assert payphone.json("key", "list", "--customer", customer)["keys"][0]["state"] == "revoked"


def test_erasing_asks_first(payphone, customer):
    stopped = payphone("customer", "erase", customer, stdin="n\n")
    assert stopped.exit_code == 1
    assert "nothing was changed" in stopped.stderr
    assert payphone.json("customer", "list")["customers"]
    payphone.ok("customer", "erase", customer, stdin="y\n")
    assert payphone.json("customer", "list") == {"customers": []}


def test_what_customers_write_is_shown_as_they_wrote_it(payphone):
    payphone.ok("customer", "add", "[bold]Mallory[/]", "m@example.com")
    assert "[bold]Mallory[/]" in payphone.ok("customer", "list")


def test_bad_customers_are_refused(payphone, customer):
    assert "e-mail address" in payphone.error("customer", "add", "Ada", "nowhere")
    assert customer in payphone.error("customer", "add", "Eve", "ADA@example.com")


def test_a_key_is_shown_once_and_kept_as_a_hash(payphone, customer):
    text = payphone.ok("key", "issue", "ADA@example.com", "--plan", "starter")
    (key,) = set(re.findall(r"pp_live_\w+", text))
    assert "/v1/models/sentiment/predict" in text
    with closing(payphone.place.keys()) as keys:
        record = keys.find(digest(key))
    assert record.customer == customer
    assert record.plan.version.startswith("starter@")
    assert key not in payphone.ok("key", "list") + payphone.ok("key", "list", "--json")
    with closing(sqlite3.connect(payphone.place.keys_file)) as database:
        assert key not in "\n".join(database.iterdump())


def test_issuing_publishes_the_plan_as_it_is_now(payphone, customer):
    before = payphone.json("key", "issue", customer, "--plan", "starter")
    payphone.service.write_text(payphone.service.read_text().replace("0.002\n", "0.003\n"))
    after = payphone.json("key", "issue", customer, "--plan", "starter")
    assert before["plan"] != after["plan"]
    assert {key["plan"] for key in payphone.json("key", "list")["keys"]} == {after["plan"]}
    assert str(payphone.place.plan_book().get(before["plan"]).price_per_call) == "0.002"


def test_a_key_can_be_scoped_to_models_that_are_served(payphone, customer):
    issued = payphone.json("key", "issue", customer, "--plan", "starter", "--models", "sentiment,sentiment")
    assert issued["models"] == ["sentiment"]
    assert "digits is not served" in payphone.error(
        "key", "issue", customer, "--plan", "starter", "--models", "digits"
    )


def test_rotation_with_grace_and_without(payphone, customer):
    first = payphone.json("key", "issue", customer, "--plan", "starter", "--models", "sentiment")
    second = payphone.json("key", "rotate", first["key_id"], "--grace", "2h")
    assert second["replaces"] == first["key_id"]
    assert (second["plan"], second["models"]) == (first["plan"], first["models"])
    third = payphone.json("key", "rotate", second["key_id"], "--grace", "0")
    states = {key["key_id"]: key for key in payphone.json("key", "list")["keys"]}
    assert [states[k["key_id"]]["state"] for k in (first, second, third)] == ["retiring", "expired", "active"]
    grace = states[first["key_id"]]["expires_at"] - states[second["key_id"]]["created_at"]
    assert abs(grace - 2 * 3_600_000) < 60_000
    text = payphone.ok("key", "list")
    assert "until" in text
    assert "expired" in text


def test_revocation(payphone, customer):
    issued = payphone.json("key", "issue", customer, "--plan", "starter")
    assert payphone.json("key", "revoke", issued["key_id"])["state"] == "revoked"
    with closing(payphone.place.keys()) as keys:
        assert not keys.find(digest(issued["key"])).usable(issued["created_at"])
    assert "revoked" in payphone.error("key", "rotate", issued["key_id"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("key", "issue", "ada@example.com", "--plan", "gold"), "trial, starter, pro"),
        (("key", "issue", "nobody", "--plan", "starter"), "payphone customer list"),
        (("key", "list", "--customer", "nobody"), "payphone customer list"),
        (("key", "rotate", "key_none"), "payphone key list"),
        (("key", "revoke", "key_none"), "payphone key list"),
    ],
)
def test_errors_say_what_to_do(payphone, customer, arguments, said):
    assert said in payphone.error(*arguments)


def test_a_name_that_two_have_needs_an_id(payphone):
    ids = [payphone.json("customer", "add", "Twin", f"{n}@example.com")["customer"] for n in range(2)]
    message = payphone.error("key", "issue", "twin", "--plan", "starter")
    assert all(each in message for each in ids)
    assert payphone.json("key", "issue", ids[0], "--plan", "starter")["customer"] == ids[0]
