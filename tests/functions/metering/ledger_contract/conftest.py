import contextlib
import runpy
from pathlib import Path

import pytest

LEDGERS = runpy.run_path(str(Path(__file__).parent / "ledgers.py"))["LEDGERS"]

REGION = "eu-west-1"


def make_table(folder):
    """A table of its own for each folder; made again, it is the same."""
    import boto3

    client = boto3.client("dynamodb", REGION)
    with contextlib.suppress(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName=folder.name,
            AttributeDefinitions=[{"AttributeName": "call_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "call_id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    client.close()
    return folder.name


# An empty store per test, as the address that its entry in LEDGERS opens.
ADDRESSES = {"sqlite": lambda folder: str(folder / "ledger.db"), "dynamodb": make_table}
# How much a test sends at once: a call on the wire has a socket of its own, and moto a thread for each.
MANY = {"sqlite": 2000, "dynamodb": 100}
EXAMPLES = {"sqlite": 60, "dynamodb": 5}


@pytest.fixture(scope="session")
def moto():
    """The URL of a DynamoDB on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(autouse=True)
def aws(ledger_name, request, monkeypatch):
    """Lead the ledgers that live in AWS to moto."""
    if ledger_name == "dynamodb":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("moto"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")


@pytest.fixture(params=LEDGERS)
def ledger_name(request):
    return request.param


@pytest.fixture
def address(ledger_name, tmp_path):
    return ADDRESSES[ledger_name](tmp_path)


@pytest.fixture
def many(ledger_name):
    return MANY[ledger_name]


@pytest.fixture
def open_ledger(ledger_name, address):
    opened = []

    def open_one():
        opened.append(LEDGERS[ledger_name](address))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger):
    return open_ledger()
