"""kill -9 of the server under load, again and again: no acknowledged call is lost, none is doubled."""

import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal

import httpx

from functions.billing.wallet import top_up
from functions.metering.terms import wallet_account

CLIENTS = 8
KILLS = 20
PATH = "/v1/models/sentiment/predict"


class Load(threading.Thread):
    """A client that calls as fast as it can, retries with its Idempotency-Key, and notes every answer."""

    def __init__(self, number, key):
        super().__init__(daemon=True)
        self.number = number
        self.key = key
        self.url = ""
        self.go = threading.Event()
        self.done = False
        self.answered = []
        self.replays = []

    def run(self):
        sequence = 0
        while not self.done:
            self.go.wait()
            with httpx.Client(headers={"x-api-key": self.key}, timeout=20, verify=False) as client:
                while self.go.is_set() and not self.done:
                    once = f"{self.number}-{sequence}"
                    with_key = sequence % 2 == 0
                    try:
                        response = client.post(
                            self.url + PATH,
                            json={"instances": [f"Film number {sequence}."]},
                            headers={"idempotency-key": once} if with_key else {},
                        )
                    except httpx.HTTPError:
                        if not with_key:
                            sequence += 1  # nothing came back, and without a key there is no safe retry
                        time.sleep(0.01)
                        continue
                    assert response.status_code == 200, response.text
                    replayed = "idempotent-replayed" in response.headers
                    (self.replays if replayed else self.answered).append(response.headers["payphone-call-id"])
                    sequence += 1


def test_kill_9_under_load(make_server):
    chance = random.Random(9)
    with make_server() as server:
        loads = [Load(number, server.issue(customer=f"cus_{number:016d}")[0]) for number in range(CLIENTS)]
        for load in loads:
            load.start()
        for _ in range(KILLS):
            server.start()
            for load in loads:
                load.url = server.url
                load.go.set()
            time.sleep(chance.uniform(0.05, 0.4))
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            for load in loads:
                load.go.clear()
        for load in loads:
            load.done = True
            load.go.set()
        for load in loads:
            load.join(30)
            assert not load.is_alive()

        database = sqlite3.connect(server.workspace.ledger_file)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        rows = Counter(row.call_id for row in server.rows())
        acknowledged = [call for load in loads for call in load.answered + load.replays]
        assert len(acknowledged) > KILLS * CLIENTS
        assert set(rows.values()) == {1}
        assert [call for call in acknowledged if call not in rows] == []
        first_answers = Counter(call for load in loads for call in load.answered)
        assert set(first_answers.values()) == {1}, "a call was billed to two answers"

        server.start()
        key, _ = server.issue()
        with server.client(key) as client:
            assert client.post(PATH, json={"instances": ["Still here."]}).status_code == 200
        assert server.stop() == 0


PREPAID = """
[service]
name = "Test"
currency = "USD"
[models]
serve = ["sentiment"]
[plans.open]
price_per_call = 0.002
prepaid = true
"""


def test_kill_9_leaves_each_wallet_with_just_what_its_live_rows_left(make_server):
    """Whether a kill came before the hold, between hold and answer, or after it."""
    chance = random.Random(5)
    with make_server(PREPAID) as server:
        customers = [f"cus_{number:016d}" for number in range(4)]
        loads = [Load(number, server.issue(customer=each)[0]) for number, each in enumerate(customers)]
        with closing(server.workspace.accounts()) as accounts:
            for each in customers:
                top_up(accounts, each, "USD", Decimal(100), "first", 1)
        for load in loads:
            load.start()
        for _ in range(KILLS // 4):
            server.start()
            for load in loads:
                load.url = server.url
                load.go.set()
            time.sleep(chance.uniform(0.1, 0.4))
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            for load in loads:
                load.go.clear()
        for load in loads:
            load.done = True
            load.go.set()
        for load in loads:
            load.join(30)
        rows = Counter(row.customer for row in server.rows())
        assert sum(rows.values()) >= sum(len(load.answered) for load in loads) > 0
        with closing(server.workspace.accounts()) as accounts:
            left = {each: accounts.balance(wallet_account(each, "USD")) for each in customers}
        assert left == {each: (50_000 - rows[each]) * 2_000_000 for each in customers}


def test_a_graceful_stop_answers_what_it_accepted(make_server):
    with make_server() as server:
        server.start()
        load = Load(0, server.issue()[0])
        load.url = server.url
        load.start()
        load.go.set()
        while len(load.answered) < 20:
            time.sleep(0.01)
        assert server.stop() == 0
        load.done = True
        load.go.clear()
        load.go.set()
        load.join(30)
        rows = {row.call_id for row in server.rows()}
        assert set(load.answered) <= rows
        # Every row was answered: what the server took in, it finished before it went.
        assert len(rows) == len(load.answered) + len(load.replays)
