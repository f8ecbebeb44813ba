import json
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.access.keys import KeyRecord
from functions.access.keys import Plan as Limits
from functions.billing.invoices import draft_invoices, plans_held
from functions.billing.plans import Plan, PlanBook, UnknownPlan
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import month_span
from models.store import LocalStore

MONTH = "2026-11"
START, END = month_span(MONTH)

USD = Plan.model_validate(
    {"name": "starter", "currency": "USD", "price_per_call": "0.002", "free_calls": 2, "monthly_fee": 5}
)
DEARER = USD.model_copy(update={"price_per_call": Decimal("0.01")})
YEN = Plan.model_validate({"name": "yen", "currency": "JPY", "price_per_call": "0.5"})


def row(number: int, plan: Plan = USD, customer: str = "cus_a", at: int = -1, **changes) -> UsageEvent:
    started = START + number if at < 0 else at
    made = UsageEvent(
        call_id=f"gw:{number:04}",
        attempts=(f"a{number}",),
        key_id="key_1",
        customer=customer,
        plan=plan.version,
        model="sentiment",
        version="1",
        kind="predict",
        units=1,
        bytes_in=10,
        started_at=started,
        fingerprint="",
    )
    return made._replace(**changes)


def write(path: Path, *groups: list[UsageEvent]) -> SqliteUsage:
    """Write rows through the real ledger, opened anew for each group."""
    for group in groups or ([],):
        with closing(SqliteLedger(str(path))) as ledger:
            for ticket in [ledger.append(each) for each in group]:
                ticket.outcome()
    return SqliteUsage(str(path))


@pytest.fixture
def published(book: PlanBook) -> PlanBook:
    for plan in (USD, DEARER, YEN):
        book.publish(plan)
    return book


def test_a_draft_from_the_ledger(tmp_path, published):
    usage = write(tmp_path / "ledger.db", [row(n) for n in range(5)])
    (invoice,) = draft_invoices(MONTH, usage, published, {})
    document = invoice.document()
    assert document == {
        "status": "draft",
        "customer": "cus_a",
        "month": "2026-11",
        "currency": "USD",
        "lines": [
            {
                "description": "monthly fee, plan starter",
                "item": "monthly_fee",
                "plan": USD.version,
                "quantity": 1,
                "free": 0,
                "unit_price": "5",
                "amount": "5.00",
            },
            {
                "description": "sentiment, predict, plan starter",
                "item": "calls",
                "plan": USD.version,
                "model": "sentiment",
                "kind": "predict",
                "per": "call",
                "quantity": 5,
                "free": 2,
                "unit_price": "0.002",
                "amount": "0.01",
            },
        ],
        "subtotal": "5.01",
        "discounts": [],
        "credits": [],
        "taxes": [],
        "total": "5.01",
        "plans": [USD.version],
        "rows": {"count": 5},
    }
    assert json.loads(json.dumps(document)) == document


def test_the_month_is_half_open_and_utc(tmp_path, published):
    rows = [row(1, at=START - 1), row(2, at=START), row(3, at=END - 1), row(4, at=END)]
    (invoice,) = draft_invoices(MONTH, write(tmp_path / "ledger.db", rows), published, {})
    assert invoice.calls == 2


def test_voided_calls_are_not_billed(tmp_path, published):
    path = tmp_path / "ledger.db"
    write(path, [row(n) for n in range(4)])
    with closing(SqliteLedger(str(path))) as ledger:
        ledger.void("gw:0001", "a1")
    (invoice,) = draft_invoices(MONTH, SqliteUsage(str(path)), published, {})
    assert invoice.calls == 3


def test_a_replay_changes_nothing_on_the_invoice(tmp_path, published):
    path = tmp_path / "ledger.db"
    first = row(1, call_id="ik:1", fingerprint="f")
    (before,) = draft_invoices(MONTH, write(path, [first]), published, {})
    replay = first._replace(attempts=("again",), started_at=first.started_at + 1000)
    (after,) = draft_invoices(MONTH, write(path, [replay]), published, {})
    assert after == before


def test_one_customer_or_all(tmp_path, published):
    rows = [row(n, customer=f"cus_{'ab'[n % 2]}") for n in range(6)]
    usage = write(tmp_path / "ledger.db", rows)
    held = {"cus_c": {USD.version: START}}
    everyone = draft_invoices(MONTH, usage, published, held)
    assert [invoice.customer for invoice in everyone] == ["cus_a", "cus_b", "cus_c"]
    for invoice in everyone:
        assert draft_invoices(MONTH, usage, published, held, invoice.customer) == [invoice]
    assert draft_invoices(MONTH, usage, published, held, "cus_d") == []


def test_two_currencies_are_two_invoices(tmp_path, published):
    rows = [row(1), row(2, YEN), row(3, YEN), row(4, YEN)]
    yen, dollars = draft_invoices(MONTH, write(tmp_path / "ledger.db", rows), published, {})
    assert (yen.currency, str(yen.total), yen.calls) == ("JPY", "2", 3)
    assert (dollars.currency, str(dollars.total), dollars.calls) == ("USD", "5.00", 1)


def test_an_edited_plan_leaves_earlier_calls_at_their_price(tmp_path, published):
    rows = [*(row(n) for n in range(12)), *(row(n, DEARER) for n in range(12, 17))]
    (invoice,) = draft_invoices(MONTH, write(tmp_path / "ledger.db", rows), published, {})
    amounts = {line.plan: str(line.amount) for line in invoice.lines if line.item == "calls"}
    assert amounts == {USD.version: "0.02", DEARER.version: "0.05"}


def test_no_use_and_no_fee_is_no_invoice(tmp_path, published):
    assert (
        draft_invoices(MONTH, write(tmp_path / "ledger.db"), published, {"cus_a": {YEN.version: START}}) == []
    )


def test_a_plan_that_is_not_in_the_book_stops_the_draft(tmp_path, book):
    usage = write(tmp_path / "ledger.db", [row(1)])
    with pytest.raises(UnknownPlan, match=USD.version):
        draft_invoices(MONTH, usage, book, {})


def key(created: int, *, revoked: int = 0, expires: int = 0) -> KeyRecord:
    return KeyRecord("key_1", "d", "cus_a", Limits("pro", "pro@1", 0, 0, 0), (), created, expires, revoked)


@pytest.mark.parametrize(
    ("record", "counts"),
    [
        (key(START - 1), True),
        (key(END - 1), True),
        (key(END), False),
        (key(1, revoked=START + 1), True),
        (key(1, revoked=START), False),
        (key(1, expires=START), False),
        (key(1, expires=END + 5, revoked=START - 5), False),
        (key(1, expires=START + 5), True),
    ],
)
def test_a_plan_is_held_while_a_key_on_it_is_valid(record, counts):
    since = max(START, record.created_at)
    assert plans_held([record], MONTH, lambda plan: []) == ({"cus_a": {"pro@1": since}} if counts else {})


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_order_and_no_split_of_writing_changes_an_invoice(data):
    drawn = data.draw(
        st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from([USD, DEARER]), st.sampled_from(["cus_a", "cus_b"])),
            min_size=1,
            max_size=25,
        )
    )
    rows = [row(n, plan, customer, at=START + at) for n, (at, plan, customer) in enumerate(drawn)]
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=3))})
    groups = [shuffled[a:b] for a, b in pairwise(cuts)]
    with TemporaryDirectory() as folder:
        book = PlanBook(LocalStore(Path(folder)))
        book.publish(USD)
        book.publish(DEARER)
        plain = draft_invoices(MONTH, write(Path(folder, "1.db"), rows), book, {})
        other = draft_invoices(MONTH, write(Path(folder, "2.db"), *groups), book, {})
    assert other == plain
    assert sum(invoice.calls for invoice in plain) == len(rows)
    for invoice in plain:
        assert invoice.total == sum(line.amount for line in invoice.lines)


def test_a_plan_that_was_held_unused_is_charged_at_the_version_of_then(tmp_path, published):
    cheap, dear = (USD.model_copy(update={"monthly_fee": Decimal(fee)}) for fee in (5, 50))
    for plan, at in ((cheap, START - 1), (dear, START + 1000)):
        published.publish(plan)
        published.enforce(plan.version, at)
    limits = Limits("starter", dear.version, 0, 0, 0)
    usage = write(tmp_path / "ledger.db")
    for created, fee in ((1, "5.00"), (START + 999, "5.00"), (START + 1000, "50.00")):
        keys = [KeyRecord("key_1", "d", "cus_a", limits, (), created)]
        (invoice,) = draft_invoices(MONTH, usage, published, plans_held(keys, MONTH, published.in_force))
        assert str(invoice.total) == fee
