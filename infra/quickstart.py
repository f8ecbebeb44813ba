"""The quickstart's second half: a server, a customer with a key, and the calls such a customer makes.

Everything goes over HTTP to a `payphone serve` in a process of its own, so what is shown is what
a customer gets. Each call says what it expects, and anything else ends the quickstart as a failure.
"""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from functions.customers.record import Customer
from infra.pipeline import Example
from infra.workspace import Workspace

PLAN = "starter"
CUSTOMER = ("Ada's Film Club", "ada@example.com")
GRACE_MS = 24 * 3600 * 1000
KEY_NOTE = "quickstart-key-id"
SINGLE_CALLS = 12
BATCH = 64


class Unexpected(RuntimeError):
    """A call did not get the answer it should have."""


class Exchange(NamedTuple):
    """One call and what came back. `effect` is "answered", "replayed" or "refused"."""

    sent: str
    status: int
    answer: str
    effect: str


class Client:
    """A customer's HTTP client on one kept-alive connection."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def send(
        self, path: str, body: bytes, key: str | None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """POST JSON; gives status, headers in lower case, and the parsed answer."""
        sent = {"content-type": "application/json", **({"x-api-key": key} if key else {}), **(headers or {})}
        self._connection.request("POST", path, body, sent)
        response = self._connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(response.read())


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


def customer_with_key(workspace: Workspace) -> tuple[Customer, str]:
    """The quickstart's customer and a new key; its key of an earlier run keeps working for a day."""
    customers, keys = workspace.customers(), workspace.keys()
    note = workspace.work / KEY_NOTE
    try:
        name, email = CUSTOMER
        customer = next((c for c in customers.list() if c.email == email), None) or customers.add(name, email)
        former = note.read_text() if note.exists() else ""
        usable = [k for k in keys.list(customer.customer_id) if k.key_id == former and k.usable(_now_ms())]
        if usable and usable[0].plan.name == PLAN and not usable[0].expires_at:
            key, record = keys.rotate(former, GRACE_MS)
        else:
            key, record = keys.issue(customer.customer_id, PLAN)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(record.key_id)
        return customer, key
    finally:
        keys.close()


def call_as_a_customer(url: str, key: str, model: str, reviews: Sequence[Example]) -> Iterator[Exchange]:
    """Make the calls one by one: real reviews, one and many; refusals; a replay; the V2 protocol."""
    client = Client(url)
    path = f"/v1/models/{model}/predict"
    for review in reviews[:SINGLE_CALLS]:
        status, _, document = client.send(path, _instances([review.value]), key)
        _expect(status, 200, document)
        said = document["predictions"][0]
        answer = f"{said['label']} {said['probability']:.2f} (truth: {review.label})"
        yield Exchange(f'one review: "{review.value[:44]}…"', status, answer, "answered")

    batch = [review.value for review in reviews[:BATCH]]
    status, _, document = client.send(path, _instances(batch), key)
    _expect(status, 200, document)
    right = sum(p["label"] == r.label for p, r in zip(document["predictions"], reviews, strict=False))
    yield Exchange(f"{len(batch)} reviews in one call", status, f"{right} of {len(batch)} right", "answered")

    refused = {
        "no key": (None, _instances(batch[:1]), 401),
        "a wrong key": ("pp_live_not-a-key-of-anyone", _instances(batch[:1]), 401),
        "a bad body": (key, b'{"instances": [', 400),
        "a number for a text": (key, _instances([7]), 422),
    }
    for sent, (with_key, body, expected) in refused.items():
        status, _, document = client.send(path, body, with_key)
        _expect(status, expected, document)
        yield Exchange(sent, status, document["title"], "refused")

    once = {"idempotency-key": secrets.token_hex(8)}
    for sent in ("a call with an Idempotency-Key", "the same call again"):
        status, headers, document = client.send(path, _instances(batch[:1]), key, once)
        _expect(status, 200, document)
        replayed = headers.get("idempotent-replayed") == "true"
        if replayed == document["usage"]["billed"]:
            raise Unexpected("a replay and its billing do not fit together")
        answer = "answered again, not billed" if replayed else document["predictions"][0]["label"]
        yield Exchange(sent, status, answer, "replayed" if replayed else "answered")

    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": batch[:2]}
    status, _, document = client.send(
        f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode(), key
    )
    _expect(status, 200, document)
    labels = document["outputs"][0]["data"]
    yield Exchange("Open Inference Protocol, two reviews", status, ", ".join(labels), "answered")


def count_rows(workspace: Workspace, customer: str) -> int:
    """Billed calls of the customer so far."""
    usage = workspace.usage()
    try:
        return sum(1 for _ in usage.rows(0, 2**62, customer))
    finally:
        usage.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _instances(values: Sequence[Any]) -> bytes:
    return json.dumps({"instances": list(values)}).encode()


def _expect(status: int, expected: int, document: Any) -> None:
    if status != expected:
        raise Unexpected(f"HTTP {expected} was expected, {status} came: {document}")
