"""What every ledger must do. A second implementation is one entry in ledgers.py and one in conftest.py."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.metering.event import LIVE, VOID
from functions.metering.ledger import (
    MAX_REPLAYS,
    REPLAY_WINDOW_MS,
    Billed,
    LedgerUnavailable,
    Refused,
    Replayed,
)


def test_a_new_call_is_billed_and_kept_as_it_came(ledger, make_event):
    event = make_event("order-7")
    assert ledger.append(event).outcome() == Billed(event)
    assert ledger.get(event.call_id) == event


def test_a_call_nobody_made_is_not_there(ledger):
    assert ledger.get("gw:never") is None


def test_a_row_outlives_its_ledger(open_ledger, make_event):
    event = make_event()
    first = open_ledger()
    first.append(event).outcome()
    first.close()
    assert open_ledger().get(event.call_id) == event


def test_closing_makes_what_was_appended_durable(open_ledger, make_event):
    events = [make_event() for _ in range(200)]
    first = open_ledger()
    tickets = [first.append(event) for event in events]
    first.close()
    assert [ticket.outcome() for ticket in tickets] == [Billed(event) for event in events]
    second = open_ledger()
    assert all(second.get(event.call_id) == event for event in events)


def test_nothing_is_appended_or_voided_after_close(ledger, make_event):
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        ledger.append(make_event()).outcome()
    with pytest.raises(LedgerUnavailable):
        ledger.void("gw:attempt", "attempt")


def test_an_outcome_can_be_asked_for_again(ledger, make_event):
    ticket = ledger.append(make_event())
    assert ticket.outcome() == ticket.outcome()


def test_the_same_request_under_its_key_is_replayed(ledger, make_event):
    first, again = make_event("k"), make_event("k")
    ledger.append(first).outcome()
    expected = first._replace(attempts=(*first.attempts, *again.attempts), revision=2)
    assert ledger.append(again).outcome() == Replayed(expected)
    assert ledger.get(first.call_id) == expected


def test_a_replay_through_another_key_of_the_customer_is_the_same_call(ledger, make_event):
    ledger.append(make_event("k")).outcome()
    assert isinstance(ledger.append(make_event("k", key_id="key_rotated")).outcome(), Replayed)


def test_customers_do_not_share_idempotency_keys(ledger, make_event):
    ledger.append(make_event("k", customer="cus_a")).outcome()
    assert isinstance(ledger.append(make_event("k", customer="cus_b")).outcome(), Billed)


def test_a_key_used_for_another_request_is_refused(ledger, make_event):
    first = make_event("k", b"one")
    ledger.append(first).outcome()
    assert ledger.append(make_event("k", b"two")).outcome() == Refused("mismatch")
    assert ledger.get(first.call_id) == first


def test_a_call_is_replayed_ten_times_and_no_more(ledger, make_event):
    ledger.append(make_event("k")).outcome()
    replays = [ledger.append(make_event("k")).outcome() for _ in range(MAX_REPLAYS)]
    assert all(isinstance(outcome, Replayed) for outcome in replays)
    assert ledger.append(make_event("k")).outcome() == Refused("exhausted")


def test_a_call_is_replayed_for_24_hours(ledger, make_event):
    first = make_event("k")
    ledger.append(first).outcome()
    last = make_event("k", started_at=first.started_at + REPLAY_WINDOW_MS)
    assert isinstance(ledger.append(last).outcome(), Replayed)
    late = make_event("k", started_at=first.started_at + REPLAY_WINDOW_MS + 1)
    assert ledger.append(late).outcome() == Refused("expired")


@pytest.mark.parametrize("key", [None, "k"])
def test_sending_the_very_same_attempt_again_bills_it_once(ledger, make_event, key):
    event = make_event(key)
    ledger.append(event).outcome()
    assert ledger.append(event).outcome() == Billed(event)
    assert ledger.get(event.call_id) == event


def test_sending_a_replay_again_does_not_count_twice(ledger, make_event):
    ledger.append(make_event("k")).outcome()
    again = make_event("k")
    first_answer = ledger.append(again).outcome()
    assert ledger.append(again).outcome() == first_answer


def test_two_calls_under_one_gateway_id_are_refused(ledger, make_event):
    first = make_event(attempt="same")
    ledger.append(first).outcome()
    assert ledger.append(make_event(attempt="same", bytes_in=999)).outcome() == Refused("foreign")
    assert ledger.get(first.call_id) == first


def test_a_void_takes_the_bill_back(ledger, make_event):
    event = make_event()
    ledger.append(event).outcome()
    ledger.void(event.call_id, event.attempts[0])
    assert ledger.get(event.call_id) == event._replace(state=VOID, revision=2)


def test_voiding_again_or_nothing_changes_nothing(ledger, make_event):
    event = make_event()
    ledger.append(event).outcome()
    ledger.void(event.call_id, event.attempts[0])
    ledger.void(event.call_id, event.attempts[0])
    ledger.void("gw:never", "never")
    assert ledger.get(event.call_id).revision == 2
    assert ledger.get("gw:never") is None


def test_a_replay_can_not_void_the_call_it_repeats(ledger, make_event):
    first, again = make_event("k"), make_event("k")
    ledger.append(first).outcome()
    ledger.append(again).outcome()
    ledger.void(first.call_id, again.attempts[0])
    assert ledger.get(first.call_id).state == LIVE


def test_a_retry_takes_over_the_row_of_a_failed_attempt(ledger, make_event):
    first = make_event("k")
    retry = make_event("k", started_at=first.started_at + 5_000, version="4")
    ledger.append(first).outcome()
    ledger.void(first.call_id, first.attempts[0])
    claimed = retry._replace(
        attempts=(*retry.attempts, *first.attempts), started_at=first.started_at, revision=3
    )
    assert ledger.append(retry).outcome() == Billed(claimed)
    assert ledger.get(first.call_id) == claimed


def test_an_attempt_sent_again_after_its_void_pays_again(ledger, make_event):
    event = make_event("k")
    ledger.append(event).outcome()
    ledger.void(event.call_id, event.attempts[0])
    assert isinstance(ledger.append(event).outcome(), Billed)
    assert ledger.get(event.call_id).state == LIVE


def test_a_late_void_leaves_the_row_that_a_retry_has_taken_over(ledger, make_event):
    first, retry = make_event("k"), make_event("k")
    ledger.append(first).outcome()
    ledger.void(first.call_id, first.attempts[0])
    ledger.append(retry).outcome()
    ledger.void(first.call_id, first.attempts[0])
    assert ledger.get(first.call_id).state == LIVE


def test_text_comes_back_as_it_was(ledger, make_event):
    event = make_event(attempt='quote" back\\slash é 猫 \x7f', model="naïve", plan="été@1")
    ledger.append(event).outcome()
    assert ledger.get(event.call_id) == event


def test_a_callback_comes_once_before_or_after_the_row_is_settled(ledger, make_event):
    ticket, settled = ledger.append(make_event()), threading.Semaphore(0)
    ticket.on_settled(settled.release)
    assert settled.acquire(timeout=30)
    ticket.outcome()
    ticket.on_settled(settled.release)
    assert settled.acquire(timeout=30)
    assert not settled.acquire(blocking=False)


def test_eight_threads_with_one_call_bill_it_once(ledger, make_event):
    events = [make_event("k") for _ in range(8)]
    start = threading.Barrier(8)

    def send(event):
        start.wait()
        return ledger.append(event).outcome()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(send, events))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Billed"] + ["Replayed"] * 7
    row = ledger.get(events[0].call_id)
    assert sorted(row.attempts) == sorted(event.attempts[0] for event in events)
    assert row.revision == 8


def test_two_processes_with_the_same_calls_bill_each_once(ledger, ledger_name, address, make_event, many):
    calls = [f"k{number}" for number in range(many)]
    child = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "ledgers.py", ledger_name, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    with child:
        child.stdin.writelines(json.dumps(make_event(call)._asdict()) + "\n" for call in calls)
        child.stdin.close()
        ours = [make_event(call) for call in calls]
        assert child.stdout.readline() == "ready\n"
        tickets = [ledger.append(event) for event in ours]
        outcomes = [type(ticket.outcome()).__name__ for ticket in tickets]
        theirs = child.stdout.read().split()
    assert child.returncode == 0
    for one, other, event in zip(outcomes, theirs, ours, strict=True):
        assert sorted([one, other]) == ["Billed", "Replayed"]
        assert len(ledger.get(event.call_id).attempts) == 2
