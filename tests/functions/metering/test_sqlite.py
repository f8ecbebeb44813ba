import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from functions.metering.accounts import Entry
from functions.metering.event import LIVE, VOID
from functions.metering.ledger import Billed, Hold, LedgerUnavailable, Refused, Replayed
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_accounts import SqliteAccounts
from functions.metering.sqlite_usage import SqliteUsage
from functions.sqlite import BUSY_SECONDS, UnusableDatabase

ROOT = Path(__file__).parents[3]
DAY = 24 * 3600 * 1000
CHILD_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


@pytest.fixture(params=[False, True], ids=["thread", "in turn"])
def ledger(path, request):
    with closing(SqliteLedger(path, in_turn=request.param)) as opened:
        yield opened


@pytest.fixture
def held_up(path):
    """Hold the file's write lock, so that what is appended meanwhile gathers in the queue."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.fixture
def in_one_group(ledger, held_up):
    """Append events, the first by itself and all others as one group; give what became of each."""

    def append(*events):
        tickets = [ledger.append(event) for event in events]
        held_up.execute("ROLLBACK")
        return [outcome_of(ticket) for ticket in tickets]

    return append


def outcome_of(ticket):
    try:
        return ticket.outcome()
    except LedgerUnavailable as error:
        return error


def test_many_calls_at_once_share_commits(in_one_group, ledger, make_event):
    events = [make_event() for _ in range(65)]
    assert in_one_group(*events) == [Billed(event) for event in events]
    assert ledger.commits <= 3


def test_rows_of_one_group_see_each_other(in_one_group, ledger, make_event):
    events = [make_event(), make_event("k"), make_event("k"), make_event("k", b"other")]
    kinds = [type(outcome) for outcome in in_one_group(*events)]
    assert kinds == [Billed, Billed, Replayed, Refused]
    assert ledger.commits <= 2


@pytest.mark.parametrize(
    "poison",
    [
        {"units": 2**63},
        {"call_id": "gw:\ud800"},
        {"customer": None},
        {"state": "paid"},
        {"started_at": "noon"},
        {"attempts": ()},
        {"model": object()},
    ],
    ids=lambda poison: next(iter(poison)),
)
def test_a_bad_row_fails_alone(in_one_group, ledger, make_event, poison):
    good = [make_event(), make_event("k"), make_event(), make_event("k")]
    bad = make_event()._replace(**poison)
    outcomes = in_one_group(good[0], good[1], bad, good[2], good[3])
    assert isinstance(outcomes.pop(2), LedgerUnavailable)
    assert [type(outcome) for outcome in outcomes] == [Billed, Billed, Billed, Replayed]
    assert ledger.commits <= 2
    assert ledger.get(good[2].call_id) == good[2]


def test_a_replay_of_a_bad_row_is_not_free(in_one_group, make_event):
    bad, good = make_event("k", units=2**63), make_event("k")
    first, outcome, after = in_one_group(make_event(), bad, good)
    assert isinstance(first, Billed)
    assert isinstance(outcome, LedgerUnavailable)
    assert after == Billed(good)


def test_a_locked_file_is_unavailable_and_recovers_by_itself(ledger, held_up, make_event):
    event, later = make_event("k"), make_event("k")
    with pytest.raises(LedgerUnavailable, match="locked"):
        ledger.append(event).outcome()
    held_up.execute("ROLLBACK")
    assert ledger.append(later).outcome() == Billed(later)


def test_a_loop_is_not_held_up_by_another_process(path, make_event):
    deferred, event = [], make_event()
    with (
        closing(SqliteLedger(path, defer=deferred.append, in_turn=True)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        ticket, began = ledger.append(event), time.perf_counter()
        while deferred:
            deferred.pop()()
        assert time.perf_counter() - began < BUSY_SECONDS / 2
        other.execute("ROLLBACK")
        assert ticket.outcome() == Billed(event)


def test_a_full_disk_is_unavailable_and_recovers_by_itself(ledger, make_event):
    pages = ledger._database.execute("PRAGMA page_count").fetchone()[0]
    ledger._database.execute(f"PRAGMA max_page_count={pages}")
    events = [make_event(model="m" * 1000) for _ in range(200)]
    outcomes = [outcome_of(ledger.append(event)) for event in events]
    refused = [e for e, outcome in zip(events, outcomes, strict=True) if not isinstance(outcome, Billed)]
    assert refused
    assert all(isinstance(o, LedgerUnavailable | Billed) for o in outcomes)
    assert all(ledger.get(event.call_id) is None for event in refused)
    ledger._database.execute("PRAGMA max_page_count=1000000")
    assert all(ledger.append(event).outcome() == Billed(event) for event in refused)


DISK_FULL = """
import json, resource, sys
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger

event = UsageEvent(**json.loads(sys.stdin.readline()))
ledger = SqliteLedger(sys.argv[1])
answers = []
for number in range(40):
    if number == 20:  # no file of this process may grow any more: writing the log fails in COMMIT
        import os
        size = os.path.getsize(sys.argv[1] + "-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))
    if number == 30:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    attempt = f"attempt-{number}"
    try:
        ledger.append(event._replace(call_id="gw:" + attempt, attempts=(attempt,))).outcome()
        answers.append(True)
    except Exception as error:
        answers.append(False)
print(json.dumps(answers))
ledger.close()
"""


def test_a_disk_that_refuses_the_log_bills_nothing(path, make_event):
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, path],
        input=json.dumps(make_event()._asdict()) + "\n",
        capture_output=True,
        text=True,
        check=True,
        env=CHILD_ENVIRONMENT,
    )
    answers = json.loads(done.stdout)
    assert answers == [True] * 20 + [False] * 10 + [True] * 10
    with closing(SqliteLedger(path)) as ledger:
        for number, answered in enumerate(answers):
            row = ledger.get(f"gw:attempt-{number}")
            assert (row is not None and row.state == LIVE) == answered


class BrokenDisk:
    """A connection whose next commits report an I/O error, with or without the row on the disk."""

    def __init__(self, database, written, times):
        self._database, self._written, self._times = database, written, times

    def __getattr__(self, name):
        return getattr(self._database, name)

    def execute(self, sql, *values):
        commits = sql == "COMMIT" or (
            sql.startswith("INSERT INTO call") and not self._database.in_transaction
        )
        if not commits or not self._times:
            return self._database.execute(sql, *values)
        if self._written:
            self._database.execute(
                sql, *values
            )  # a row that is there already is refused before the disk fails
        self._times -= 1
        raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture(params=[True, False], ids=["written", "not written"])
def break_commit(request, ledger):
    def arm(times=1):
        ledger._database = BrokenDisk(ledger._database, request.param, times)

    return arm


def append_until_written(ledger, event):
    while isinstance(outcome := outcome_of(ledger.append(event)), LedgerUnavailable):
        pass
    return outcome


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_commit_of_unknown_fate_bills_nothing(ledger, path, make_event, break_commit, times):
    doubtful, other = make_event(), make_event()
    break_commit(times)
    with pytest.raises(LedgerUnavailable):
        ledger.append(doubtful).outcome()
    assert append_until_written(ledger, other) == Billed(other)
    assert ledger.get(doubtful.call_id).state == VOID
    assert list(SqliteUsage(path).rows(0, 2**60)) == [other]


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_hold_of_unknown_fate_is_given_back(ledger, path, make_event, break_commit, times):
    with closing(SqliteAccounts(path)) as accounts:
        accounts.post("wallet#a", Entry("first", 9, "top-up", 1))
        doubtful, other = make_event(), make_event()
        break_commit(times)
        with pytest.raises(LedgerUnavailable):
            ledger.append(doubtful, lambda row: [Hold("wallet#a", 5)]).outcome()
        assert append_until_written(ledger, other) == Billed(other)
        assert ledger.get(doubtful.call_id).state == VOID
        assert accounts.balance("wallet#a") == 9
        assert isinstance(ledger.append(make_event(), lambda row: [Hold("wallet#a", 9)]).outcome(), Billed)
        assert accounts.balance("wallet#a") == 0


def test_a_bad_row_in_a_group_costs_the_others_neither_row_nor_hold(ledger, path, make_event, held_up):
    with closing(SqliteAccounts(path)) as accounts:
        held_up.execute("ROLLBACK")
        accounts.post("wallet#a", Entry("first", 9, "top-up", 1))
        held_up.execute("BEGIN IMMEDIATE")
        good, bad = make_event(), make_event(units=2**70)
        tickets = [
            ledger.append(event, lambda row: [Hold("wallet#a", 4)]) for event in (good, bad, make_event())
        ]
        held_up.execute("ROLLBACK")
        outcomes = [outcome_of(ticket) for ticket in tickets]
        assert outcomes[0] == Billed(good)
        assert isinstance(outcomes[1], LedgerUnavailable)
        assert isinstance(outcomes[2], Billed)
        assert accounts.balance("wallet#a") == 1


def test_a_retry_after_a_commit_of_unknown_fate_is_billed_once(ledger, make_event, break_commit):
    doubtful, retry = make_event("k"), make_event("k")
    break_commit()
    with pytest.raises(LedgerUnavailable):
        ledger.append(doubtful).outcome()
    outcome = ledger.append(retry).outcome()
    assert isinstance(outcome, Billed)
    assert outcome.row.attempts[0] == retry.attempts[0]
    assert isinstance(ledger.append(make_event("k")).outcome(), Replayed)


def test_a_replay_of_unknown_fate_leaves_the_bill_as_it_is(ledger, make_event, break_commit):
    paid = make_event("k")
    ledger.append(paid).outcome()
    break_commit()
    with pytest.raises(LedgerUnavailable):
        ledger.append(make_event("k")).outcome()
    ledger.append(make_event()).outcome()
    row = ledger.get(paid.call_id)
    assert (row.state, row.attempts[0]) == (LIVE, paid.attempts[0])


def test_a_claim_of_unknown_fate_bills_nothing(ledger, make_event, break_commit):
    first, claim = make_event("k"), make_event("k")
    ledger.append(first).outcome()
    ledger.void(first.call_id, first.attempts[0])
    break_commit()
    with pytest.raises(LedgerUnavailable):
        ledger.append(claim).outcome()
    ledger.append(make_event()).outcome()
    assert ledger.get(first.call_id).state == VOID


def test_a_void_that_failed_is_made_up_for_without_another_call(ledger, make_event, break_commit):
    event = make_event()
    ledger.append(event).outcome()
    break_commit()
    with pytest.raises(LedgerUnavailable):
        ledger.void(event.call_id, event.attempts[0])
    ledger.close()
    with closing(SqliteLedger(ledger._path)) as again:
        assert again.get(event.call_id).state == VOID


def test_a_group_wakes_a_loop_once(path, make_event):
    woken, runs = threading.Semaphore(0), []

    def notify(run):
        runs.append(run)
        woken.release()

    with closing(SqliteLedger(path, notify=notify)) as ledger:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            tickets = [ledger.append(make_event()) for _ in range(17)]
            settled = []
            for number, ticket in enumerate(tickets):
                ticket.on_settled(lambda number=number: settled.append(number))
            other.execute("ROLLBACK")
        for _ in range(2):  # the first ticket, then those that gathered behind it
            if len(settled) < 17:
                assert woken.acquire(timeout=30)
                assert len(runs) <= 2
                runs[-1]()
        assert sorted(settled) == list(range(17))


APPEND_FOREVER = """
import itertools, json, os, sys, threading
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger

event = UsageEvent(**json.loads(sys.stdin.readline()))
ledger = SqliteLedger(sys.argv[1])

def run(thread):
    for number in itertools.count():
        attempt = f"{sys.argv[2]}-{thread}-{number}"
        ledger.append(event._replace(call_id="gw:" + attempt, attempts=(attempt,))).outcome()
        os.write(1, f"{attempt}\\n".encode())

for thread in range(8):
    threading.Thread(target=run, args=(thread,)).start()
"""


def test_kill_9_loses_no_acknowledged_row(path, make_event):
    acknowledged = []
    for life in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", APPEND_FOREVER, path, str(life)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=CHILD_ENVIRONMENT,
        )
        with child:
            child.stdin.write(json.dumps(make_event()._asdict()).encode() + b"\n")
            child.stdin.close()
            acknowledged += [child.stdout.readline().decode() for _ in range(150 + 37 * life)]
            child.send_signal(signal.SIGKILL)
            acknowledged += child.stdout.read().decode().splitlines(keepends=True)
        assert child.returncode == -signal.SIGKILL
    attempts = [line.rstrip("\n") for line in acknowledged if line.endswith("\n")]
    assert len(attempts) > 6 * 150
    with closing(SqliteLedger(path)) as ledger:
        assert all(ledger.get(f"gw:{attempt}").state == LIVE for attempt in attempts)
        assert ledger._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = [row.call_id for row in SqliteUsage(path).rows(0, 2**60)]
        assert len(rows) == len(set(rows))


def test_usage_is_read_in_order_and_by_half_open_spans(ledger, path, make_event):
    noon = make_event().started_at
    events = [
        make_event(attempt=name, started_at=noon + at)
        for name, at in [("c", 5), ("b", 5), ("a", 9), ("d", 4)]
    ]
    for event in events:
        ledger.append(event).outcome()
    usage = SqliteUsage(path)
    assert [row.attempts[0] for row in usage.rows(noon + 4, noon + 9)] == ["d", "b", "c"]
    assert list(usage.rows(noon + 9, noon + 10)) == [events[2]]


def test_usage_counts_live_calls_by_day_and_kind(ledger, path, make_event):
    midnight = make_event().started_at // DAY * DAY
    ours = [
        make_event(started_at=midnight - 1, units=1),
        make_event(started_at=midnight, units=2),
        make_event(started_at=midnight + DAY - 1, units=3),
        make_event(started_at=midnight, units=5, model="digits"),
    ]
    void, other = make_event(started_at=midnight), make_event(customer="cus_b", started_at=midnight)
    for event in [*ours, void, other]:
        ledger.append(event).outcome()
    ledger.void(void.call_id, void.attempts[0])
    usage = SqliteUsage(path)
    counted = [(b.model, b.day, b.calls, b.units) for b in usage.buckets(0, 2**60, "cus_a")]
    assert counted == [
        ("digits", "2027-01-15", 1, 5),
        ("sentiment", "2027-01-14", 1, 1),
        ("sentiment", "2027-01-15", 2, 5),
    ]
    assert {bucket.customer for bucket in usage.buckets(0, 2**60)} == {"cus_a", "cus_b"}
    assert sum(bucket.calls for bucket in usage.buckets(0, 2**60)) == len(list(usage.rows(0, 2**60)))


def test_usage_is_found_through_the_index(ledger):
    plan = ledger._database.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM call WHERE started_at >= 0 AND started_at < 9 AND customer = 'c'"
    ).fetchall()
    assert "USING INDEX call_by_time (started_at>? AND started_at<?)" in str(plan)


def test_usage_is_read_while_a_server_writes_and_after_it_has_closed(path, make_event):
    events = [make_event() for _ in range(30)]
    with closing(SqliteLedger(path)) as ledger:
        usage = SqliteUsage(path)
        for event in events[:-1]:
            ledger.append(event).outcome()
        reading = usage.rows(0, 2**60)
        seen = [next(reading)]
        ledger.append(events[-1]).outcome()
        assert len([*seen, *reading]) == 29
        assert len(list(usage.rows(0, 2**60))) == 30
    assert len(list(SqliteUsage(path).rows(0, 2**60))) == 30


def test_a_ledger_that_is_not_there_is_not_empty(path):
    with pytest.raises(UnusableDatabase, match=r"ledger\.db"):
        SqliteUsage(path)


def test_usage_of_a_damaged_file_is_an_error(path, make_event):
    with closing(SqliteLedger(path)) as ledger:
        for _ in range(50):
            ledger.append(make_event()).outcome()
    usage = SqliteUsage(path)
    data = bytearray(Path(path).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    Path(path).write_bytes(data)
    with pytest.raises(LedgerUnavailable):
        list(usage.rows(0, 2**60))
    with pytest.raises(LedgerUnavailable):
        usage.buckets(0, 2**60)


def test_only_the_owner_may_read_the_files(ledger, path, make_event):
    ledger.append(make_event()).outcome()
    for file in Path(path).parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
