"""Alerts end to end: real calls use a quota up, and a receiver hears of it, over a kill -9 in between."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from queue import Empty, SimpleQueue
from time import monotonic, sleep

import pytest
from standardwebhooks.webhooks import Webhook

from functions.webhooks.sending import ALLOW_PRIVATE

SERVICE = """
[service]
name = "Test"
currency = "EUR"
[models]
serve = ["sentiment"]
[plans.counted]
price_per_call = 0.004
quota = 4
hard_limits = true
[plans.soft]
price_per_call = 0.004
spend_cap = 0.008
alert_at = [100]
"""
ONE = {"instances": ["A film I would see again."]}
PATH = "/v1/models/sentiment/predict"
LOCAL = {ALLOW_PRIVATE: "1"}


@pytest.fixture
def receiver():
    """Keeps what comes; answers with the statuses one asks for, then with 204."""
    statuses, came = [], SimpleQueue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["content-length"])
            body = self.rfile.read(size)
            if len(body) < size:  # its sender was killed in the middle of it
                return
            self.send_response(statuses.pop(0) if statuses else 204)
            self.end_headers()
            came.put((dict(self.headers), body))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    server.statuses, server.came = statuses, came
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_alerts_arrive_signed_and_outlive_a_kill(make_server, receiver, monkeypatch):
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    with make_server(SERVICE) as server:

        def payphone(*arguments, expect=0):
            places = ["--state", str(server.state), "--service", str(server.service)]
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "from infra.cli.main import app; app()",
                    *places,
                    *arguments,
                    "--json",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == expect, done.stderr
            return json.loads(done.stdout or done.stderr)

        server.start(env=LOCAL)
        added = payphone("webhook", "add", receiver.url)
        webhook = Webhook(added["secret"])
        payphone("webhook", "add", receiver.url, "--event", "quota.exploded", expect=1)
        assert payphone("webhook", "test", added["endpoint"])["delivered"]
        headers, body = receiver.came.get(timeout=30)
        assert webhook.verify(body, headers)["type"] == "webhook.test"

        receiver.statuses += [500] * 3
        for plan, calls in (("counted", 5), ("soft", 2)):
            key, _ = server.issue(plan, f"cus_{plan}")
            with server.client(key) as client:
                assert {client.post(PATH, json=ONE).status_code for _ in range(calls)} <= {200, 429}
        first = receiver.came.get(timeout=60)  # and the server says 500 to it
        server.stop(signal.SIGKILL)
        rotated = payphone("webhook", "rotate", added["endpoint"])
        server.start(env=LOCAL)

        attempts = defaultdict(list)
        attempts[first[0]["webhook-id"]].append(first)
        alerts, rotations = {}, set()
        while len(alerts) < 4:
            headers, body = receiver.came.get(timeout=90)
            message = webhook.verify(body, headers)
            if len(headers["webhook-signature"].split()) == 2:  # sent since the secret was rotated
                assert message == Webhook(rotated["secret"]).verify(body, headers)
                rotations.add(headers["webhook-id"])
            attempts[headers["webhook-id"]].append((headers, body))
            alerts[headers["webhook-id"]] = message
        told = sorted((m["data"]["plan"], m["data"]["percent"], m["data"]["hard"]) for m in alerts.values())
        assert told == [
            ("counted", 50, True),
            ("counted", 80, True),
            ("counted", 100, True),
            ("soft", 100, False),
        ]
        assert rotations
        assert max(map(len, attempts.values())) > 1
        assert all(len({body for _, body in each}) == 1 for each in attempts.values())
        with pytest.raises(Empty):
            while True:  # what failed before may come once more, but nothing new does
                headers, _ = receiver.came.get(timeout=7)
                assert headers["webhook-id"] in alerts
        assert "whsec_" not in server.written()
        deadline = monotonic() + 60  # who failed twice is tried again after 24 s at most
        while (states := {each["state"] for each in payphone("webhook", "list")["deliveries"]}) != {
            "delivered"
        }:
            assert (states, monotonic() < deadline) == ({"delivered", "waiting"}, True)
            sleep(1)
        assert payphone("webhook", "remove", added["endpoint"])["removed"]
        assert payphone("webhook", "list")["endpoints"] == []
