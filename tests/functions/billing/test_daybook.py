"""The daybook holds what the ledger has, and a month counted by days costs what it costs row by row."""

from collections import Counter
from contextlib import closing
from hashlib import sha256
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.billing.bills import make_bill
from functions.billing.columns import TamperedRows
from functions.billing.daybook import Daybook, Entry
from functions.billing.invoices import draft_invoices
from functions.billing.plans import Plan
from functions.billing.pricing import Tally
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import DAY_MS, UsageBucket, days_of, month_span
from models.store import LocalStore

MONTH = "2026-11"
START, END = month_span(MONTH)


def row(number: int, at: int, plan: str = "pro@1", **changes) -> UsageEvent:
    made = UsageEvent(
        f"gw:{number:05}", (f"a{number}",), "key_1", "cus_a", plan, "m", "1", "predict", 1, 10, at, ""
    )
    return made._replace(**changes)


class Listed:
    """A reader of rows in memory."""

    def __init__(self, rows):
        self.all = rows
        self.read = 0

    def rows(self, start, end, customer=None, *, among=None):
        for each in self.all:
            if start <= each.started_at < end and (among is None or each.customer in among):
                self.read += 1
                yield each

    def buckets(self, start, end, customer=None):
        calls, units, first = Counter(), Counter(), {}
        for each in self.all:
            if start <= each.started_at < end:
                (day, *_), *_ = days_of(each.started_at // DAY_MS * DAY_MS, each.started_at + 1)
                group = (each.customer, each.plan, each.model, each.version, each.kind, day)
                calls[group] += 1
                units[group] += each.units
                first.setdefault(group, each.started_at)
        return [UsageBucket(*group, calls[group], units[group], first[group]) for group in sorted(calls)]

    def stamps(self, start, end):
        return {day: "1" for day, *_ in days_of(start, end)}


TIERS = [{"up_to": 3, "price": "0.7"}, {"up_to": 6, "price": "0.31"}, {"price": "0.07"}]


@st.composite
def plans(draw) -> Plan:
    prices = draw(
        st.lists(
            st.sampled_from(
                [
                    {"kind": "explain", "price": "0.013"},
                    {"kind": "explain", "per": "unit", "price": "0.0007"},
                    {"model": "n", "tiering": "graduated", "tiers": TIERS},
                    {"per": "unit", "tiering": "volume", "tiers": TIERS},
                    {"model": "n", "kind": "predict", "package": 4, "price": "0.55"},
                ]
            ),
            unique_by=str,
        )
    )
    changes = draw(st.lists(st.integers(0, 6 * DAY_MS), max_size=2, unique=True).map(sorted))
    free = st.integers(0, 12)
    made = {
        "name": "pro",
        "currency": "USD",
        "price_per_call": draw(st.sampled_from(["0.01", "0.333"])),
        "prices": prices,
        "free_calls": draw(free),
        "free_units": draw(free),
        "changes": [
            {"effective_from": START + at, "price_per_call": str(number + 1), "free_calls": draw(free)}
            for number, at in enumerate(changes)
        ],
    }
    return Plan.model_validate(made)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(plans(), min_size=1, max_size=2),
    st.lists(
        st.tuples(
            st.integers(0, 6 * 24),
            st.integers(0, 1),
            st.sampled_from(["m", "n"]),
            st.sampled_from(["predict", "explain"]),
            st.integers(0, 4),
        ),
        max_size=40,
    ),
)
def test_a_month_by_days_is_the_month_row_by_row(published, drawn):
    plan_of = {plan.version: plan for plan in published}
    rows = [
        row(0, START + hour * DAY_MS // 24, published[n % len(published)].version, model=m, kind=k, units=u)
        for hour, n, m, k, u in drawn
    ]
    rows = [each._replace(call_id=f"gw:{n:05}") for n, each in enumerate(sorted(rows, key=lambda r: r[10]))]
    tally = Tally("USD", plan_of.__getitem__)
    for each in rows:
        tally.add(each)

    class Book:
        get = staticmethod(plan_of.__getitem__)

    found = draft_invoices(MONTH, Listed(rows), Book, {})
    assert [invoice.bill for invoice in found] == [make_bill(tally)][: len(rows)]


def test_only_a_day_on_which_something_happens_is_read_by_rows():
    plan = Plan.model_validate({"name": "pro", "currency": "USD", "price_per_call": 1, "free_calls": 25})

    class Book:
        get = staticmethod({plan.version: plan}.__getitem__)

    usage = Listed([row(n, START + n * DAY_MS // 10, plan.version) for n in range(100)])
    (invoice,) = draft_invoices(MONTH, usage, Book, {})
    assert (invoice.calls, str(invoice.total), usage.read) == (100, "75.00", 10)


@pytest.fixture
def ledger(tmp_path):
    with closing(SqliteLedger(str(tmp_path / "ledger.db"))) as opened:
        yield opened


def write(ledger, *rows):
    for ticket in [ledger.append(each) for each in rows]:
        ticket.outcome()


def test_the_daybook_has_what_the_ledger_has(tmp_path, ledger):
    rows = [
        row(
            n,
            START + n * DAY_MS // 7,
            customer=f"cus_{n % 3}",
            model='ä"\\',
            units=n % 4,
            nonce=f"n{n}" * (n % 2),
        )
        for n in range(100)
    ]
    write(ledger, *rows)
    usage, daybook = SqliteUsage(str(tmp_path / "ledger.db")), Daybook(LocalStore(tmp_path / "books"))
    days = daybook.write(usage, START, END)
    read = daybook.read(days)
    plain = [each._replace(attempts=()) for each in usage.rows(START, END)]
    assert [*read.rows(START, END)] == plain
    assert [*read.rows(START, END, "cus_1")] == [each for each in plain if each.customer == "cus_1"]
    among = ["cus_0", "cus_2"]
    assert [*read.rows(START + 5, END, among=among)] == [
        each for each in plain if each.customer in among and each.started_at >= START + 5
    ]
    assert read.buckets(START, END) == usage.buckets(START, END)
    left = daybook.read(days, without={rows[4].call_id, "gw:none"})
    assert [each.call_id for each in left.rows(START, END)] == [r.call_id for r in rows if r != rows[4]]
    one = next(each for each in days if each.day == "2026-11-03")
    assert sum(entry.rows for entry in one.customers.values()) == 7
    assert not daybook.read([]).buckets(START, END)


def test_a_root_is_the_hash_of_the_rows_as_anyone_can_compute_it(tmp_path, ledger):
    write(ledger, *(row(n, START + n, bytes_in=n) for n in range(3)))
    (day,) = Daybook(LocalStore(tmp_path / "books")).write(
        SqliteUsage(str(tmp_path / "ledger.db")), START, END
    )
    leaves = [
        sha256(
            b"\0"
            + f'{{"bytes_in":{n},"call_id":"gw:{n:05}","customer":"cus_a","key_id":"key_1","kind":"predict",'
            f'"model":"m","plan":"pro@1","started_at":{START + n},"units":1,"version":"1"}}\n'.encode()
        ).digest()
        for n in range(3)
    ]
    pair = sha256(b"\1" + leaves[0] + leaves[1]).digest()
    assert day.customers == {"cus_a": Entry(3, sha256(b"\1" + pair + leaves[2]).hexdigest())}


def test_a_day_is_written_once_for_each_state(tmp_path, ledger):
    write(ledger, row(1, START), row(2, START + 1), row(3, END - 1))
    usage, store = SqliteUsage(str(tmp_path / "ledger.db")), LocalStore(tmp_path / "books")
    daybook = Daybook(store)
    first = daybook.write(usage, START, END)
    files = store.list("rows/")
    assert Daybook(store).write(usage, START, END) == first
    assert store.list("rows/") == files
    ledger.void("gw:00001", "a1")
    changed, same = daybook.write(usage, START, END)
    assert (changed.stamp != first[0].stamp, same) == (True, first[1])
    assert daybook.calls([changed]) == {"gw:00002"}
    assert daybook.calls(first) == {"gw:00001", "gw:00002", "gw:00003"}


@pytest.mark.parametrize("order", [(1, 1), (2, 1)], ids=["doubled", "out of order"])
def test_rows_that_can_not_be_right_are_not_kept(tmp_path, order):
    store = LocalStore(tmp_path / "books")
    rows = [row(number, START + number) for number in order]
    with pytest.raises(ValueError, match="doubled or out of order"):
        Daybook(store).write(Listed(rows), START, START + DAY_MS)
    assert store.list("rows/") == []


@pytest.mark.parametrize("place", ["books", "a [b]* folder?", "elsewhere"])
def test_a_daybook_is_read_wherever_it_lies(tmp_path, ledger, place):
    write(ledger, row(1, START), row(2, END - 1))
    usage, store = SqliteUsage(str(tmp_path / "ledger.db")), LocalStore(tmp_path / place)
    if place == "elsewhere":  # a store without files, as a bucket is
        store = SimpleNamespace(get=store.get, put=store.put, list=store.list, root=store.root)
    daybook = Daybook(store)
    days = daybook.write(usage, START, END)
    assert daybook.calls(days) == Daybook(store).calls(days) == {"gw:00001", "gw:00002"}
    file = tmp_path / place / days[0].file
    file.write_bytes(file.read_bytes()[:-9] + b"x" + file.read_bytes()[-8:])
    with pytest.raises(TamperedRows, match="was changed: restore it"):
        Daybook(store).calls(days)
