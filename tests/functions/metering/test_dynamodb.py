import contextlib
import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.aws.service import Unavailable, dynamodb_in
from functions.metering.dynamodb import DynamoDbLedger
from functions.metering.event import LIVE, VOID, UsageEvent, call_identity, fingerprint
from functions.metering.ledger import MAX_REPLAYS, Billed, LedgerUnavailable, Refused, Replayed

REGION = "eu-west-1"
NOON = 1_800_000_000_000


class Proxy:
    """Stands between ledger and DynamoDB, notes what passes, and lets answers get lost on order."""

    def __init__(self, port):
        self.requests = []
        self.lose = 0  # how many of the next answers never arrive, though the request did
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._clients = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):  # closed already
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client):
        with client, client.makefile("rb") as stream:
            while line := stream.readline():
                headers = http.client.parse_headers(stream)
                body = stream.read(int(headers["content-length"]))
                self.requests.append((headers["x-amz-target"].rpartition(".")[2], json.loads(body)))
                upstream = http.client.HTTPConnection("127.0.0.1", self._port)
                method, path, _ = line.decode().split()
                upstream.request(method, path, body, dict(headers))
                answer = upstream.getresponse()
                data = answer.read()
                upstream.close()
                if self.lose:
                    self.lose -= 1
                    return
                head = f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(data)}\r\n\r\n"
                client.sendall(head.encode() + data)


@pytest.fixture(scope="module")
def moto():
    """A DynamoDB of moto's on a free port."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(moto, monkeypatch):
    between = Proxy(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", between.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    yield between
    between.close()


@pytest.fixture
def table(proxy, request):
    """A table as the stack makes it, through boto3."""
    client = boto3.client("dynamodb", REGION)
    client.create_table(
        TableName="usage",
        AttributeDefinitions=[{"AttributeName": "call_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "call_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield boto3.resource("dynamodb", REGION).Table("usage")
    client.delete_table(TableName="usage")
    client.close()


@pytest.fixture
def ledger(table, proxy):
    proxy.requests.clear()
    under_test = DynamoDbLedger("usage", dynamodb_in(REGION), deadline_ms=20_000)
    yield under_test
    under_test.close()


def event(attempt, key=None, body=b"body", **changes):
    made = UsageEvent(
        call_id=call_identity("cus_1", attempt, key),
        attempts=(attempt,),
        key_id="key_1",
        customer="cus_1",
        plan="pro@abc",
        model="digits",
        version="1",
        kind="predict",
        units=2,
        bytes_in=100,
        started_at=NOON,
        fingerprint=fingerprint(key, body) if key else "",
    )
    return made._replace(**changes)


def test_the_first_append_is_one_conditional_put(ledger, proxy, table):
    """What DynamoDB is asked, and what lies there afterwards as boto3 reads it."""
    ticket = ledger.append(event("a1"))
    assert ticket.outcome() == Billed(event("a1")) == ticket.outcome()
    [(operation, request)] = proxy.requests
    item = request.pop("Item")
    assert (operation, request) == (
        "PutItem",
        {
            "TableName": "usage",
            "ConditionExpression": "attribute_not_exists(call_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    )
    assert item["attempts"] == {"L": [{"S": "a1"}]}
    stored = table.get_item(Key={"call_id": "gw:a1"})["Item"]
    assert stored == event("a1")._asdict() | {"attempts": ["a1"]}


def test_any_text_survives(ledger):
    odd = event("a1", customer='"\\ \n\0é\u2028😀', model="x" * 64)
    ledger.append(odd).outcome()
    assert ledger.get(odd.call_id) == odd


def test_a_row_of_the_longest_values_is_one_write_unit():
    """1 unit is 1 kB: UTF-8 of names and values; a list costs 3 bytes and 1 an element; a number at most
    one byte for two digits and 2 more.
    """
    from functions.metering import dynamodb

    longest = event("x", "key")._replace(
        attempts=("a" * 32,) * (1 + MAX_REPLAYS),
        key_id="k" * 24,
        customer="c" * 24,
        plan=f"{'p' * 32}@{'f' * 16}",
        model="m" * 64,
        version="v" * 32,
        units=10**9,
        bytes_in=4 * 2**20,
        kind="explain",
        revision=99,
    )
    size = 0
    for name, typed in json.loads(f"{{{dynamodb._item(longest)}}}").items():
        [(kind, value)] = typed.items()
        size += len(name)
        if kind == "L":
            size += 3 + sum(1 + len(element["S"].encode()) for element in value)
        else:
            size += len(value.encode()) if kind == "S" else (len(value) + 1) // 2 + 2
    assert size <= 1024


def test_a_lost_answer_is_no_second_call(ledger, proxy):
    """The row landed, its answer did not: the resend finds it and knows it for its own."""
    proxy.lose = 1
    assert ledger.append(event("a1")).outcome() == Billed(event("a1"))
    assert [operation for operation, _ in proxy.requests] == ["PutItem", "PutItem"]


def test_a_replay_whose_answer_got_lost_is_noted_once(ledger, proxy):
    ledger.append(event("a1", "key")).outcome()
    ticket = ledger.append(event("a2", "key"))
    proxy.lose = 2  # the refusal's, then that of the put that lands
    replayed = ticket.outcome()
    assert replayed == Replayed(event("a1", "key", attempts=("a1", "a2"), revision=2))
    assert ledger.get(replayed.row.call_id) == replayed.row


def test_a_replay_is_put_over_the_revision_it_judged(ledger, proxy):
    ledger.append(event("a1", "key")).outcome()
    proxy.requests.clear()
    ledger.append(event("a2", "key")).outcome()
    [_, (operation, request)] = proxy.requests
    assert operation == "PutItem"
    assert request["ConditionExpression"] == "revision = :seen"
    assert request["ExpressionAttributeValues"] == {":seen": {"N": "1"}}
    assert request["Item"]["revision"] == {"N": "2"}


def test_a_lost_race_is_judged_anew(ledger, proxy):
    """Between refusal and write another attempt comes in; both are kept."""
    ledger.append(event("a1", "key")).outcome()
    slow = ledger.append(event("a2", "key"))
    assert ledger.append(event("a3", "key")).outcome().row.attempts == ("a1", "a3")
    assert slow.outcome().row.attempts == ("a1", "a3", "a2")


@pytest.mark.parametrize("key", [None, "key"])
def test_of_eight_at_once_exactly_one_is_billed(ledger, table, key):
    """Eight threads, eight attempts (or, without a key, resends of one) of the same call."""
    attempts = [f"a{number}" if key else "a" for number in range(8)]
    together = threading.Barrier(8)

    def call(attempt):
        together.wait()
        return ledger.append(event(attempt, key)).outcome()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, attempts))
    row = ledger.get(event("a", key).call_id)
    if key is None:
        assert outcomes == [Billed(row)] * 8  # one and the same attempt
    else:
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Billed"] + ["Replayed"] * 7
        assert sorted(row.attempts) == attempts
        [billed] = (a for a, outcome in zip(attempts, outcomes, strict=True) if isinstance(outcome, Billed))
        assert row.attempts[0] == billed
    assert table.scan()["Count"] == 1
    assert row.revision == (8 if key else 1)


def test_eight_threads_with_different_calls_keep_their_answers_apart(ledger, table):
    def calls(thread):
        return all(
            ledger.append(event(f"{thread}-{n}")).outcome() == Billed(event(f"{thread}-{n}"))
            for n in range(10)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(calls, range(8)))
    assert table.scan()["Count"] == 80


def test_a_voided_call_is_claimed_by_the_next_attempt(ledger):
    first, second = event("a1", "key"), event("a2", "key", started_at=NOON + 5, version="2")
    ledger.append(first).outcome()
    ledger.void(first.call_id, "a1")
    assert ledger.get(first.call_id) == first._replace(state=VOID, revision=2)
    claimed = ledger.append(second).outcome()
    assert claimed == Billed(second._replace(attempts=("a2", "a1"), started_at=NOON, revision=3, state=LIVE))
    assert ledger.get(first.call_id) == claimed.row
    ledger.void(first.call_id, "a1")  # late, and no longer its own
    assert ledger.get(first.call_id) == claimed.row


def test_voiding_twice_or_in_spite_of_a_lost_answer_is_voiding_once(ledger, proxy):
    row = event("a1")
    ledger.append(row).outcome()
    proxy.requests.clear()
    proxy.lose = 2  # the read's answer, then the read again; then the put lands
    ledger.void(row.call_id, "a1")
    ledger.void(row.call_id, "a1")
    assert ledger.get(row.call_id) == row._replace(state=VOID, revision=2)
    ledger.void("gw:never", "never")
    assert ledger.get("gw:never") is None


def test_a_replay_that_comes_between_does_not_undo_a_void(ledger, proxy, monkeypatch):
    """The void has read revision 1 when a replay makes it 2: it looks again, and voids 3."""
    first = event("a1", "key")
    ledger.append(first).outcome()
    read = ledger.read

    def overtaken(call_id):
        row = read(call_id)
        ledger.append(event("a2", "key")).outcome()
        return row

    monkeypatch.setattr(ledger, "read", overtaken)
    ledger.void(first.call_id, "a1")
    assert read(first.call_id).row == first._replace(attempts=("a1", "a2"), state=VOID, revision=3)


def test_refusals_write_nothing(ledger, proxy):
    first = event("a1", "key")
    ledger.append(first).outcome()
    proxy.requests.clear()
    assert ledger.append(event("a2", "key", body=b"other")).outcome() == Refused("mismatch")
    day_later = NOON + 24 * 3600 * 1000 + 1
    assert ledger.append(event("a3", "key", started_at=day_later)).outcome() == Refused("expired")
    assert ledger.get(first.call_id) == first
    assert [operation for operation, _ in proxy.requests] == ["PutItem", "PutItem", "GetItem"]


def test_two_calls_of_one_gateway_id_are_foreign(ledger):
    ledger.append(event("a1")).outcome()
    assert ledger.append(event("a1", units=3)).outcome() == Refused("foreign")


def test_what_the_seal_added_goes_when_the_row_changes(ledger, table):
    """A row that changed after its seal must not expire as if it were sealed."""
    first = event("a1", "key")
    ledger.append(first).outcome()
    table.update_item(
        Key={"call_id": first.call_id},
        UpdateExpression="SET expires_at = :at",
        ExpressionAttributeValues={":at": 1},
    )
    assert ledger.append(event("a1", "key")).outcome() == Billed(first)
    assert table.get_item(Key={"call_id": first.call_id})["Item"]["expires_at"] == 1
    ledger.append(event("a2", "key")).outcome()
    assert "expires_at" not in table.get_item(Key={"call_id": first.call_id})["Item"]


def test_a_ticket_settles_at_once(ledger):
    settled = []
    ticket = ledger.append(event("a1"))
    ticket.on_settled(lambda: settled.append(True))
    assert settled == [True]
    assert ticket.outcome() == Billed(event("a1"))


def test_without_a_table_the_ledger_is_unavailable(proxy):
    ledger = DynamoDbLedger("nowhere", dynamodb_in(REGION))
    with pytest.raises(LedgerUnavailable, match="ResourceNotFoundException"):
        ledger.append(event("a1")).outcome()
    with pytest.raises(LedgerUnavailable, match="ResourceNotFoundException"):
        ledger.get("gw:a1")
    ledger.close()


def test_without_a_server_the_ledger_is_unavailable_within_its_deadline(proxy, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{silent.getsockname()[1]}")
        service = dynamodb_in(REGION)
        service.connect(1)
        ledger = DynamoDbLedger("usage", service, deadline_ms=100)
        ticket = ledger.append(event("a1"))
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="no usable answer in time"):
                ticket.outcome()
        with pytest.raises(LedgerUnavailable):
            ledger.void("gw:a1", "a1")
    ledger.close()
    with pytest.raises(Unavailable, match="can't be reached"):
        service.connect(1)


def test_a_row_that_is_none_is_not_taken_for_one(ledger, table):
    table.put_item(Item={"call_id": "gw:a1", "note": "made by hand"})
    with pytest.raises(LedgerUnavailable, match="something else than a usage row"):
        ledger.append(event("a1")).outcome()
