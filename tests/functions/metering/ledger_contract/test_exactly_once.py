"""Any interleaving of calls, replays, retries, failures and restarts bills a logical call once."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from functions.metering.event import LIVE
from functions.metering.ledger import MAX_REPLAYS, Billed, Refused, Replayed

KEYS = st.sampled_from(["k1", "k2", "k3"])
BODIES = st.sampled_from([b"one", b"one", b"one", b"two"])


def not_billed(outcome):
    return not isinstance(outcome, Billed)


class Billing(RuleBasedStateMachine):
    """Knows nothing of the ledger's rule, only who has paid: at most one attempt of a call at a time."""

    open_ledger = make_event = examples = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = self.open_ledger(self.folder)
        self.payer = {}  # call → the attempt that pays, None after its void
        self.fingerprint = {}
        self.sent = {}  # call → events of all attempts
        self.numbers = itertools.count()

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    def judge(self, event, outcome):
        call, attempt = event.call_id, event.attempts[0]
        if isinstance(outcome, Refused):
            if outcome.reason == "mismatch":
                assert self.fingerprint[call] != event.fingerprint
            else:
                assert outcome.reason == "exhausted"
                assert len(self.sent[call]) > MAX_REPLAYS
            return
        assert self.fingerprint.setdefault(call, event.fingerprint) == event.fingerprint
        if isinstance(outcome, Billed):
            assert self.payer.get(call) in (None, attempt), "billed while another attempt has paid"
            self.payer[call] = attempt
        else:
            assert isinstance(outcome, Replayed)
            assert self.payer.get(call) not in (None, attempt), "free, though nobody paid"
        known = self.sent.setdefault(call, [])
        if event not in known:
            known.append(event)

    @rule(calls=st.lists(st.tuples(st.one_of(st.none(), KEYS), BODIES), min_size=1, max_size=6))
    def call_at_once(self, calls):
        events = [self.make_event(key, body, attempt=f"a{next(self.numbers)}") for key, body in calls]
        tickets = [self.ledger.append(event) for event in events]
        outcomes = [ticket.outcome() for ticket in tickets]
        # Of several at once any may come first, so who pays is noted before who was answered for free.
        for event, outcome in sorted(
            zip(events, outcomes, strict=True), key=lambda pair: not_billed(pair[1])
        ):
            self.judge(event, outcome)

    @precondition(lambda self: any(self.payer.values()))
    @rule(data=st.data())
    def send_the_same_attempt_again(self, data):
        call = data.draw(st.sampled_from(sorted(c for c, payer in self.payer.items() if payer)))
        event = data.draw(st.sampled_from(self.sent[call]))
        self.judge(event, self.ledger.append(event).outcome())

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def fail_after_the_write(self, data):
        call = data.draw(st.sampled_from(sorted(self.sent)))
        attempt = data.draw(st.sampled_from(self.sent[call])).attempts[0]
        self.ledger.void(call, attempt)
        if self.payer[call] == attempt:
            self.payer[call] = None

    @rule()
    def restart(self):
        self.ledger.close()
        self.ledger = self.open_ledger(self.folder)

    @invariant()
    def every_call_has_one_row_paid_by_its_payer(self):
        for call, payer in self.payer.items():
            row = self.ledger.get(call)
            assert (row.state == LIVE) == (payer is not None)
            assert payer in (None, row.attempts[0])
            assert len(set(row.attempts)) == len(row.attempts)


@pytest.fixture
def machine(ledger_name, make_event, request):
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).parent / "conftest.py"))

    class OfThisLedger(Billing):
        def open_ledger(self, folder):
            return conftest.LEDGERS[ledger_name](conftest.ADDRESSES[ledger_name](folder))

        examples = conftest.EXAMPLES[ledger_name]

    OfThisLedger.make_event = staticmethod(make_event)
    return OfThisLedger


def test_a_logical_call_is_billed_once(machine):
    run_state_machine_as_test(
        machine, settings=settings(max_examples=machine.examples, stateful_step_count=30, deadline=None)
    )
