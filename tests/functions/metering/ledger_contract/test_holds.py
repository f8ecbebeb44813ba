"""What must hold of holds on every ledger: paid before it is run, given back when voided, never overspent."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.metering.accounts import Entry, EntryConflict, Overdrawn
from functions.metering.event import LIVE
from functions.metering.ledger import Billed, Hold, Insufficient, Refused, Replayed

WALLET = "wallet#cus_a#USD"


def top_up(accounts, amount, entry_id="first"):
    return accounts.post(WALLET, Entry(entry_id, amount, "top-up", 1))


def of(amount, account=WALLET, floor=0):
    return lambda row: [Hold(account, amount, floor)]


def test_a_hold_is_taken_with_the_row(ledger, accounts, make_event):
    top_up(accounts, 10)
    event = make_event()
    assert ledger.append(event, of(3)).outcome() == Billed(event)
    assert ledger.get(event.call_id) == event
    assert accounts.balance(WALLET) == 7


def test_what_can_not_be_paid_is_not_written(ledger, accounts, make_event):
    top_up(accounts, 2)
    event = make_event("k")
    assert ledger.append(event, of(3)).outcome() == Insufficient(Hold(WALLET, 3), 2)
    assert ledger.get(event.call_id) is None
    assert accounts.balance(WALLET) == 2
    assert isinstance(ledger.append(make_event("k"), of(2)).outcome(), Billed)
    assert accounts.balance(WALLET) == 0


def test_an_account_nobody_has_touched_is_empty(ledger, accounts, make_event):
    assert ledger.append(make_event(), of(1)).outcome() == Insufficient(Hold(WALLET, 1), 0)
    assert accounts.balance(WALLET) == 0


def test_a_limit_is_an_account_that_may_go_below_zero(ledger, accounts, make_event):
    outcomes = [ledger.append(make_event(), of(2, "quota#a", -5)).outcome() for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Billed, Billed, Insufficient]
    assert outcomes[2].balance == accounts.balance("quota#a") == -4


def test_several_accounts_are_held_from_together_or_not_at_all(ledger, accounts, make_event):
    top_up(accounts, 10)

    def both(row):
        return [Hold(WALLET, 4), Hold("quota#a", 1, -1)]

    assert isinstance(ledger.append(make_event(), both).outcome(), Billed)
    assert ledger.append(make_event(), both).outcome() == Insufficient(Hold("quota#a", 1, -1), -1)
    assert accounts.balance(WALLET) == 6


def test_what_costs_nothing_holds_nothing(ledger, accounts, make_event):
    event = make_event()
    assert isinstance(ledger.append(event, of(0)).outcome(), Billed)
    ledger.void(event.call_id, event.attempts[0])
    assert accounts.balance(WALLET) == 0


def test_a_void_gives_the_hold_back_once(ledger, accounts, make_event):
    top_up(accounts, 10)
    event = make_event()
    ledger.append(event, of(3)).outcome()
    ledger.void(event.call_id, event.attempts[0])
    ledger.void(event.call_id, event.attempts[0])
    assert accounts.balance(WALLET) == 10


def test_a_replay_holds_nothing_even_from_an_empty_wallet(ledger, accounts, make_event):
    top_up(accounts, 3)
    first = make_event("k")
    ledger.append(first, of(3)).outcome()
    assert isinstance(ledger.append(make_event("k"), of(3)).outcome(), Replayed)
    assert accounts.balance(WALLET) == 0
    ledger.void(first.call_id, first.attempts[0])
    assert accounts.balance(WALLET) == 3


def test_a_call_that_is_refused_holds_nothing(ledger, accounts, make_event):
    top_up(accounts, 9)
    ledger.append(make_event("k", b"one"), of(3)).outcome()
    assert ledger.append(make_event("k", b"two"), of(3)).outcome() == Refused("mismatch")
    assert accounts.balance(WALLET) == 6


@pytest.mark.parametrize("key", [None, "k"])
def test_the_very_same_attempt_sent_again_pays_once(ledger, accounts, make_event, key):
    top_up(accounts, 3)
    event = make_event(key)
    assert ledger.append(event, of(3)).outcome() == Billed(event)
    assert ledger.append(event, of(3)).outcome() == Billed(event)
    assert accounts.balance(WALLET) == 0


def test_a_retry_that_takes_over_a_row_pays_by_the_row(ledger, accounts, make_event):
    """By its first attempt's time: which month's limit a call counts in is what its invoice says."""
    top_up(accounts, 9)
    first = make_event("k")
    retry = make_event("k", started_at=first.started_at + 5_000)
    ledger.append(first, of(3)).outcome()
    ledger.void(first.call_id, first.attempts[0])
    seen = []

    def priced(row):
        seen.append(row.started_at)
        return [Hold(WALLET, 4)]

    assert isinstance(ledger.append(retry, priced).outcome(), Billed)
    assert set(seen) <= {first.started_at, retry.started_at}
    assert seen[-1] == first.started_at
    assert accounts.balance(WALLET) == 5
    ledger.void(first.call_id, retry.attempts[0])
    assert accounts.balance(WALLET) == 9


def test_a_hold_outlives_its_ledger(open_ledger, accounts, make_event):
    top_up(accounts, 5)
    event = make_event()
    first = open_ledger()
    first.append(event, of(3)).outcome()
    first.close()
    open_ledger().void(event.call_id, event.attempts[0])
    assert accounts.balance(WALLET) == 5


def test_held_and_other_calls_may_come_together(ledger, accounts, make_event):
    top_up(accounts, 4)
    events = [make_event() for _ in range(12)]
    tickets = [ledger.append(event, of(2) if n % 2 else None) for n, event in enumerate(events)]
    found = Counter(type(ticket.outcome()) for ticket in tickets)
    assert found == {Billed: 8, Insufficient: 4}
    assert accounts.balance(WALLET) == 0


def test_an_entry_is_posted_once(accounts):
    posted = top_up(accounts, 5)
    assert accounts.post(WALLET, posted._replace(made_at=9)) == posted
    with pytest.raises(EntryConflict):
        top_up(accounts, 6)
    top_up(accounts, 2, "second")
    assert accounts.balance(WALLET) == 7
    assert [entry.entry_id for entry in accounts.entries(WALLET)] == ["first", "second"]
    assert list(accounts.balances("wallet#")) == [(WALLET, 7)]
    assert list(accounts.balances("quota#")) == []


def test_no_entry_brings_a_balance_below_zero(accounts):
    top_up(accounts, 5)
    with pytest.raises(Overdrawn):
        top_up(accounts, -6, "second")
    top_up(accounts, -5, "third")
    assert accounts.balance(WALLET) == 0


def test_the_same_entry_from_eight_threads_is_posted_once(accounts):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: top_up(accounts, 5), range(8)))
    assert accounts.balance(WALLET) == 5


def test_threads_never_overspend_by_one_unit(ledger, accounts, make_event, many):
    """Amounts of 1 to 7 from a wallet that can't pay them all, with failures that give back in between."""
    top_up(accounts, many)
    events = [make_event() for _ in range(many)]
    start, lowest = threading.Barrier(8), []

    def send(worker):
        start.wait()
        paid = 0
        for number, event in enumerate(events[worker::8]):
            amount = 1 + number % 7
            if isinstance(ledger.append(event, of(amount)).outcome(), Billed):
                paid += amount
                lowest.append(accounts.balance(WALLET))
                if number % 5 == 0:
                    ledger.void(event.call_id, event.attempts[0])
                    paid -= amount
        return paid

    with ThreadPoolExecutor(8) as pool:
        paid = sum(pool.map(send, range(8)))
    assert min(lowest) >= 0
    assert accounts.balance(WALLET) == many - paid
    live = [row for event in events if (row := ledger.get(event.call_id)) and row.state == LIVE]
    assert len(live) < many


def other_process(ledger_name, address, events, amount):
    script = Path(__file__).parent / "ledgers.py"
    child = subprocess.Popen(
        [sys.executable, script, ledger_name, address, WALLET, str(amount)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    child.stdin.writelines(json.dumps(event._asdict()) + "\n" for event in events)
    child.stdin.close()
    return child


def test_processes_never_overspend_by_one_unit(ledger, ledger_name, accounts, address, make_event, many):
    top_up(accounts, 3 * (many // 2) + 2)
    events = [make_event() for _ in range(many)]
    half = many // 2
    with other_process(ledger_name, address, events[:half], 3) as child:
        assert child.stdout.readline() == "ready\n"
        tickets = [ledger.append(event, of(3)) for event in events[half:]]
        outcomes = [type(ticket.outcome()).__name__ for ticket in tickets]
        outcomes += child.stdout.read().split()
    assert Counter(outcomes) == {"Billed": half, "Insufficient": many - half}
    assert accounts.balance(WALLET) == 2


def test_a_process_killed_in_the_midst_leaves_each_row_with_its_hold(
    ledger, ledger_name, accounts, address, make_event, many
):
    top_up(accounts, 3 * many)
    events = [make_event() for _ in range(many)]
    with other_process(ledger_name, address, events, 3) as child:
        assert child.stdout.readline() == "ready\n"
        for _ in range(many // 4):
            assert child.stdout.readline() == "Billed\n"
        child.send_signal(signal.SIGKILL)
    rows = [row for event in events if (row := ledger.get(event.call_id))]
    assert len(rows) >= many // 4
    assert accounts.balance(WALLET) == 3 * many - 3 * len(rows)
    for row in rows:
        ledger.void(row.call_id, row.attempts[0])
    assert accounts.balance(WALLET) == 3 * many
