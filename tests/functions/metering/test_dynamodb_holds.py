"""Transactions that traffic cancels, that get lost, that DynamoDB refuses: what comes of them."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.aws.service import dynamodb_in
from functions.metering.accounts import Entry
from functions.metering.dynamodb import DynamoDbLedger
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.event import VOID
from functions.metering.ledger import Billed, Hold, Insufficient, LedgerUnavailable

REGION, WALLET = "eu-west-1", "wallet#cus_a#USD"
LOSE = "lose"
TABLES = {"usage": ["call_id"], "accounts": ["account", "entry"]}


def cancelled(*codes):
    """DynamoDB's answer to a transaction that it cancelled, a code an item."""
    return 400, {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [{"Code": code} for code in codes],
    }


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def wire(moto, monkeypatch):
    """Between ledger and DynamoDB: notes transactions, answers by `script`, or lets answers get lost."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            scripted = None
            if self.headers["x-amz-target"].endswith("TransactWriteItems"):
                server.transactions.append(json.loads(body))
                scripted = server.script.pop(0) if server.script else None
            if isinstance(scripted, tuple):
                status, data = scripted[0], json.dumps(scripted[1]).encode()
            else:
                upstream = http.client.HTTPConnection("127.0.0.1", moto)
                upstream.request("POST", self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                status, data = answer.status, answer.read()
                upstream.close()
            if scripted == LOSE:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.transactions, server.script = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ledger(wire):
    client = boto3.client("dynamodb", REGION)
    for name, keys in TABLES.items():
        client.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ["HASH", "RANGE"], strict=False)
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    under_test = DynamoDbLedger("usage", dynamodb_in(REGION), 20_000, "accounts")
    yield under_test
    under_test.close()
    for name in TABLES:
        client.delete_table(TableName=name)
    client.close()


@pytest.fixture
def accounts(ledger, wire):
    opened = DynamoDbAccounts("accounts", dynamodb_in(REGION))
    opened.post(WALLET, Entry("first", 10, "top-up", 1))
    wire.transactions.clear()
    yield opened
    opened.close()


def of(amount, floor=0):
    return lambda row: [Hold(WALLET, amount, floor)]


def test_a_held_call_is_one_transaction(ledger, accounts, wire, make_event):
    event = make_event()
    ledger.append(event, of(3)).outcome()
    (asked,) = wire.transactions
    put, update = asked["TransactItems"]
    assert len(asked["ClientRequestToken"]) == 32
    assert put["Put"]["ConditionExpression"] == "attribute_not_exists(call_id)"
    assert put["Put"]["Item"]["holds"] == {"M": {WALLET: {"N": "3"}}}
    assert update["Update"] == {
        "TableName": "accounts",
        "Key": {"account": {"S": WALLET}, "entry": {"S": "balance"}},
        "UpdateExpression": "ADD balance :amount",
        "ConditionExpression": "balance >= :least",
        "ExpressionAttributeValues": {":amount": {"N": "-3"}, ":least": {"N": "3"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_a_call_without_holds_is_none(ledger, accounts, wire, make_event):
    event = make_event("k")
    ledger.append(event).outcome()
    ledger.append(make_event("k")).outcome()
    ledger.void(event.call_id, event.attempts[0])
    assert wire.transactions == []


def test_a_limit_nobody_has_touched_is_held_from(ledger, accounts, wire, make_event):
    ledger.append(make_event(), lambda row: [Hold("quota#a", 1, -3)]).outcome()
    condition = wire.transactions[0]["TransactItems"][1]["Update"]["ConditionExpression"]
    assert condition == "attribute_not_exists(balance) OR balance >= :least"


@pytest.mark.parametrize(
    "codes",
    [
        ("None", "TransactionConflict"), ("TransactionConflict", "None"), ("None", "ThrottlingError"),
        ("TransactionConflict", "ConditionalCheckFailed"), ("None", "ProvisionedThroughputExceeded"),
    ],
)  # fmt: skip
def test_what_traffic_cancels_is_sent_again_as_a_new_transaction(ledger, accounts, wire, make_event, codes):
    wire.script += [cancelled(*codes)] * 3
    event = make_event()
    assert ledger.append(event, of(3)).outcome() == Billed(event)
    assert len({asked["ClientRequestToken"] for asked in wire.transactions}) == 4
    assert accounts.balance(WALLET) == 7


def test_what_traffic_cancels_for_too_long_is_unavailable_and_holds_nothing(accounts, wire, make_event):
    ledger = DynamoDbLedger("usage", dynamodb_in(REGION), 300, "accounts")
    wire.script += [cancelled("None", "TransactionConflict")] * 100
    event = make_event()
    with pytest.raises(LedgerUnavailable, match="one account"):
        ledger.append(event, of(3)).outcome()
    wire.script.clear()
    assert 1 < len(wire.transactions) < 100
    assert ledger.get(event.call_id) is None
    assert accounts.balance(WALLET) == 10
    ledger.close()


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_answer_is_asked_for_again_with_the_same_token_and_held_once(
    ledger, accounts, wire, make_event, key, times
):
    wire.script += [LOSE] * times
    event = make_event(key)
    assert ledger.append(event, of(3)).outcome() == Billed(event)
    assert len(wire.transactions) == times + 1
    assert len({asked["ClientRequestToken"] for asked in wire.transactions}) == 1
    assert accounts.balance(WALLET) == 7


def test_a_lost_answer_to_the_last_of_the_money_is_no_refusal(ledger, accounts, wire, make_event):
    """Sent again, the wallet can't pay; but the row is there, and it is this attempt's."""
    wire.script.append(LOSE)
    event = make_event()
    assert ledger.append(event, of(10)).outcome() == Billed(event)
    assert accounts.balance(WALLET) == 0


def test_a_lost_answer_to_a_refusal_is_a_refusal(ledger, accounts, wire, make_event):
    wire.script.append(LOSE)
    assert ledger.append(make_event(), of(11)).outcome() == Insufficient(Hold(WALLET, 11), 10)
    assert accounts.balance(WALLET) == 10


def test_a_void_whose_answer_is_lost_gives_back_once(ledger, accounts, wire, make_event):
    event = make_event()
    ledger.append(event, of(3)).outcome()
    wire.script += [cancelled("TransactionConflict", "None"), LOSE]
    ledger.void(event.call_id, event.attempts[0])
    assert ledger.get(event.call_id).state == VOID
    assert accounts.balance(WALLET) == 10


def test_a_top_up_whose_answer_is_lost_is_posted_once(accounts, wire):
    wire.script += [cancelled("None", "TransactionConflict"), LOSE, LOSE]
    accounts.post(WALLET, Entry("second", 5, "top-up", 2))
    assert accounts.balance(WALLET) == 15
    assert [entry.entry_id for entry in accounts.entries(WALLET)] == ["first", "second"]


@pytest.mark.parametrize(
    "answer",
    [
        cancelled("None", "ValidationError"),
        (400, {"__type": "x#ValidationException", "Message": "no"}),
        (400, {"__type": "x#TransactionCanceledException", "Message": "without reasons"}),
        (400, {"__type": "x#AccessDeniedException", "Message": "no"}),
    ],
)
def test_any_other_refusal_is_unavailable(ledger, accounts, wire, make_event, answer):
    wire.script += [answer] * 10
    with pytest.raises(LedgerUnavailable):
        ledger.append(make_event(), of(3)).outcome()
    assert len(wire.transactions) == 1


def test_a_replay_that_comes_between_keeps_the_hold(ledger, accounts, wire, make_event):
    first = make_event("k")
    ledger.append(first, of(3)).outcome()
    ledger.append(make_event("k"), of(3)).outcome()
    ledger.void(first.call_id, first.attempts[0])
    assert accounts.balance(WALLET) == 10
