import contextlib
import runpy
import threading
from pathlib import Path

import pytest

KNOWN = runpy.run_path(str(Path(__file__).parent / "ledgers.py"))
LEDGERS, ACCOUNTS, REGION = KNOWN["LEDGERS"], KNOWN["ACCOUNTS"], KNOWN["REGION"]


def make_table(folder):
    """Tables of its own for each folder; made again, they are the same."""
    import boto3

    client = boto3.client("dynamodb", REGION)
    for name, keys in {folder.name: ["call_id"], f"{folder.name}-accounts": ["account", "entry"]}.items():
        with contextlib.suppress(client.exceptions.ResourceInUseException):
            client.create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind}
                    for key, kind in zip(keys, ["HASH", "RANGE"], strict=False)
                ],
                BillingMode="PAY_PER_REQUEST",
            )
    client.close()
    return folder.name


def ledger_file(folder):
    return str(folder / "ledger.db")


# An empty store per test, as the address that its entry in LEDGERS opens.
ADDRESSES = {"sqlite": ledger_file, "sqlite in turn": ledger_file, "dynamodb": make_table}
# How much a test sends at once: a call on the wire has a socket of its own, and moto a thread for each.
MANY = {"sqlite": 2000, "sqlite in turn": 100, "dynamodb": 100}
EXAMPLES = {"sqlite": 60, "sqlite in turn": 40, "dynamodb": 5}


@pytest.fixture(scope="session")
def moto():
    """The URL of a DynamoDB on this machine.

    It takes one request at a time: moto undoes a failed transaction by putting all tables back as they
    were before it, whatever others have written since.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    answer, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ, start_response):
        with turn:
            return answer(environ, start_response)

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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


@pytest.fixture
def accounts(ledger_name, address):
    opened = ACCOUNTS[ledger_name](address)
    yield opened
    opened.close()
