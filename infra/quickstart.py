"""The quickstart's second half: a customer with a key, and the calls such a customer makes.

Everything goes over HTTP, to a `payphone serve` in a process of its own or to a stage on AWS, so what
is shown is what a customer gets. Each call says what it expects, and anything else ends the quickstart
as a failure.
"""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from functions.access.keys import KeyRecord
from functions.customers.record import Customer
from infra.pipeline import Example
from infra.place import Place

PLAN = "starter"
CUSTOMER = ("Ada's Film Club", "ada@example.com")
GRACE_MS = 24 * 3600 * 1000
HOUR_MS = 3600 * 1000
SINGLE_CALLS = 12
BATCH = 64


class Unexpected(RuntimeError):
    """A call did not get the answer it should have."""


class Exchange(NamedTuple):
    """One call and what came back. `effect` is "answered", "replayed" or "refused".

    `attempt` is what the access log knows it by, `call_id` what the ledger does ("" if refused).
    """

    sent: str
    status: int
    answer: str
    effect: str
    attempt: str
    call_id: str


class Answer(NamedTuple):
    """What came back: headers in lower case, and the parsed document."""

    status: int
    headers: dict[str, str]
    document: Any

    def exchange(self, sent: str, answer: str, effect: str) -> Exchange:
        """It as one line of what was done."""
        attempt, call_id = self.headers["x-request-id"], self.headers.get("payphone-call-id", "")
        return Exchange(sent, self.status, answer, effect, attempt, call_id)


class Client:
    """A customer's HTTP client on one kept-alive connection; `url` may have a path."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection, self._path = kind(parts.netloc, timeout=60), parts.path

    def send(
        self, path: str, body: bytes, key: str | None, headers: dict[str, str] | None, expected: int
    ) -> Answer:
        """POST JSON; Unexpected if another status than `expected` comes back."""
        sent = {"content-type": "application/json", **({"x-api-key": key} if key else {}), **(headers or {})}
        self._connection.request("POST", self._path + path, body, sent)
        response = self._connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        document = json.loads(response.read())
        if response.status != expected:
            raise Unexpected(f"HTTP {expected} was expected, {response.status} came: {document}")
        return Answer(response.status, found, document)


@contextmanager
def running_server(state: Path, service: Path, log: Path) -> Iterator[str]:
    """Run `payphone serve` on a free port; gives its base URL and ends it afterwards."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from infra.cli.main import app; app()"]
    command += ["--state", str(state), "--service", str(service), "serve", "--port", "0", "--json"]
    with log.open("w") as noise:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, text=True)  # noqa: S603 - our own
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise Unexpected(f"the server did not start; see {log}")
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()
            process.wait()


def customer_with_key(place: Place, note: Path) -> tuple[Customer, str, KeyRecord]:
    """The quickstart's customer and a new key; the key of an earlier run, by `note`, works for a day more."""
    name, email = CUSTOMER
    customers = place.customers()
    customer = next((c for c in customers.list() if c.email == email), None) or customers.add(name, email)
    former = note.read_text() if note.exists() else ""
    with closing(place.keys()) as keys:
        usable = [k for k in keys.list(customer.customer_id) if k.key_id == former and k.usable(_now_ms())]
        if usable and usable[0].plan.name == PLAN and not usable[0].expires_at:
            key, record = keys.rotate(former, GRACE_MS)
        else:
            key, record = keys.issue(customer.customer_id, PLAN)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(record.key_id)
    return customer, key, record


def call_as_a_customer(url: str, key: str, model: str, reviews: Sequence[Example]) -> Iterator[Exchange]:
    """Make the calls one by one: real reviews, one and many; refusals; a replay; the V2 protocol."""
    client = Client(url)
    path = f"/v1/models/{model}/predict"

    def predict(
        body: bytes, with_key: str | None = key, headers: dict[str, str] | None = None, expected: int = 200
    ) -> Answer:
        return client.send(path, body, with_key, headers, expected)

    for review in reviews[:SINGLE_CALLS]:
        came = predict(_instances([review.value]))
        said = came.document["predictions"][0]
        answer = f"{said['label']} {said['probability']:.2f} (truth: {review.label})"
        yield came.exchange(f'one review: "{review.value[:44]}…"', answer, "answered")

    batch = [review.value for review in reviews[:BATCH]]
    came = predict(_instances(batch))
    right = sum(p["label"] == r.label for p, r in zip(came.document["predictions"], reviews, strict=False))
    yield came.exchange(f"{len(batch)} reviews in one call", f"{right} of {len(batch)} right", "answered")

    refused = {
        "no key": (None, _instances(batch[:1]), 401),
        "a wrong key": ("pp_live_not-a-key-of-anyone", _instances(batch[:1]), 401),
        "a bad body": (key, b'{"instances": [', 400),
        "a number for a text": (key, _instances([7]), 422),
    }
    for sent, (with_key, body, expected) in refused.items():
        came = predict(body, with_key, expected=expected)
        yield came.exchange(sent, came.document["title"], "refused")

    once = {"idempotency-key": secrets.token_hex(8)}
    for sent in ("a call with an Idempotency-Key", "the same call again"):
        came = predict(_instances(batch[:1]), headers=once)
        replayed = came.headers.get("idempotent-replayed") == "true"
        if replayed == came.document["usage"]["billed"]:
            raise Unexpected("a replay and its billing do not fit together")
        answer = "answered again, not billed" if replayed else came.document["predictions"][0]["label"]
        yield came.exchange(sent, answer, "replayed" if replayed else "answered")

    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": batch[:2]}
    body = json.dumps({"inputs": [tensor]}).encode()
    came = client.send(f"/v2/models/{model}/infer", body, key, None, 200)
    labels = came.document["outputs"][0]["data"]
    yield came.exchange("Open Inference Protocol, two reviews", ", ".join(labels), "answered")


def billed_rows(place: Place, key: KeyRecord, expected: int) -> int:
    """Rows of a key that was issued just now: those that invoices are made of.

    On a stage they come to be there within seconds, so they are waited for.
    """

    def count() -> int:
        with closing(place.usage()) as usage:
            rows = usage.rows(_now_ms() - HOUR_MS, _now_ms() + HOUR_MS, key.customer)
            return sum(row.key_id == key.key_id for row in rows)

    return wait_for(count, expected)


def wait_for(count: Callable[[], int], expected: int, seconds: float = 120) -> int:
    """What `count` gives once it is as many as expected, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while (found := count()) < expected and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _instances(values: Sequence[Any]) -> bytes:
    return json.dumps({"instances": list(values)}).encode()
