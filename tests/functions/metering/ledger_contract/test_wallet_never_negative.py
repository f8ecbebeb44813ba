"""Any sequence of top-ups, calls, replays and failures: balance = top-ups - live holds, and never below 0."""

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

from functions.metering.accounts import Entry, Overdrawn
from functions.metering.ledger import Billed, Hold, Insufficient, Replayed

WALLET, QUOTA = "wallet#cus_a#USD", "quota#cus_a#paid#2026-11"
MOST = 9
KEYS = st.one_of(st.none(), st.sampled_from(["k1", "k2"]))


class Wallet(RuleBasedStateMachine):
    """Knows only what was put in and which calls were answered as billed, each at its price."""

    open_ledger = open_accounts = make_event = examples = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger, self.accounts = self.open_ledger(self.folder), self.open_accounts(self.folder)
        self.put_in = 0
        self.paid = {}  # call → (event, its price), as long as it is live
        self.numbers = itertools.count()

    def teardown(self):
        self.ledger.close()
        self.accounts.close()
        shutil.rmtree(self.folder)

    @rule(amount=st.integers(-6, 12))
    def post(self, amount):
        try:
            self.accounts.post(WALLET, Entry(f"e{next(self.numbers)}", amount, "", 1))
        except Overdrawn as error:
            assert self.put_in - sum(price for _, price in self.paid.values()) + amount < 0
            assert error.balance < -amount
        else:
            self.put_in += amount

    @rule(calls=st.lists(st.tuples(KEYS, st.integers(0, 5)), min_size=1, max_size=5))
    def call_at_once(self, calls):
        sent = [(self.make_event(key, attempt=f"a{next(self.numbers)}"), price) for key, price in calls]
        tickets = [
            self.ledger.append(event, lambda row, price=price: [Hold(WALLET, price), Hold(QUOTA, 1, -MOST)])
            for event, price in sent
        ]
        for (event, price), ticket in zip(sent, tickets, strict=True):
            outcome = ticket.outcome()
            if isinstance(outcome, Billed):
                assert event.call_id not in self.paid
                self.paid[event.call_id] = (event, price)
            elif not isinstance(outcome, Insufficient):
                assert isinstance(outcome, Replayed) or outcome.reason == "exhausted"

    @precondition(lambda self: self.paid)
    @rule(data=st.data(), twice=st.booleans())
    def fail_after_the_write(self, data, twice):
        call = data.draw(st.sampled_from(sorted(self.paid)))
        event, _ = self.paid.pop(call)
        for _ in range(1 + twice):
            self.ledger.void(call, event.attempts[0])

    @precondition(lambda self: self.paid)
    @rule(data=st.data())
    def send_the_same_attempt_again(self, data):
        event, price = self.paid[data.draw(st.sampled_from(sorted(self.paid)))]
        outcome = self.ledger.append(
            event, lambda row: [Hold(WALLET, price), Hold(QUOTA, 1, -MOST)]
        ).outcome()
        assert isinstance(outcome, Billed)

    @rule()
    def restart(self):
        self.ledger.close()
        self.ledger = self.open_ledger(self.folder)

    @invariant()
    def nothing_is_lost_or_overspent(self):
        balance = self.accounts.balance(WALLET)
        assert balance == self.put_in - sum(price for _, price in self.paid.values())
        assert balance >= 0
        assert -self.accounts.balance(QUOTA) == len(self.paid) <= MOST


@pytest.fixture
def machine(ledger_name, make_event, request):
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).parent / "conftest.py"))

    class OfThisLedger(Wallet):
        def open_ledger(self, folder):
            return conftest.LEDGERS[ledger_name](conftest.ADDRESSES[ledger_name](folder))

        def open_accounts(self, folder):
            return conftest.ACCOUNTS[ledger_name](conftest.ADDRESSES[ledger_name](folder))

        examples = max(5, conftest.EXAMPLES[ledger_name] // 3)

    OfThisLedger.make_event = staticmethod(make_event)
    return OfThisLedger


def test_a_wallet_is_never_negative(machine):
    run_state_machine_as_test(
        machine, settings=settings(max_examples=machine.examples, stateful_step_count=25, deadline=None)
    )
