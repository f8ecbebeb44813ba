import json
import socket
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def port() -> str:
    """A port that is free just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def sick(payphone, port):
    """The checks that fail, with their remedies."""
    result = payphone("doctor", "--port", port, "--json")
    document = json.loads(result.stdout)
    failing = {check["check"]: check for check in document["checks"] if not check["ok"]}
    assert result.exit_code == (1 if failing else 0)
    assert document["ok"] is not bool(failing)
    assert all(check["remedy"] for check in failing.values())
    return failing


@pytest.fixture
def healthy(trained, customer, make_calls):
    make_calls(trained.json("key", "issue", customer, "--plan", "starter")["key_id"], 2)
    return trained


def test_all_is_well(healthy, port):
    assert sick(healthy, port) == {}
    assert "All is well" in healthy.ok("doctor", "--port", port)


def test_a_model_that_was_never_published(payphone, port):
    assert sick(payphone, port)["model sentiment"]["remedy"] == "payphone model train sentiment"
    failed = payphone("doctor", "--port", port)
    assert failed.exit_code == 1
    assert "payphone model train sentiment" in failed.stdout


def test_a_tampered_model(healthy, port):
    file = healthy.place.models / "sentiment" / "1" / "model.tflite"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    assert "SHA-256 differs" in sick(healthy, port)["model sentiment"]["found"]


def test_a_file_of_a_model_that_is_gone(healthy, port):
    (healthy.place.models / "sentiment" / "1" / "vocabulary.json").unlink()
    assert "vocabulary.json" in sick(healthy, port)["model sentiment"]["found"]


@pytest.mark.parametrize("name", ["ledger", "keys", "customers"])
def test_a_damaged_database(healthy, port, name):
    file = healthy.place.root / f"{name}.db"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(data)
    found = sick(healthy, port)
    assert list(found) == [f"{name} database"]
    assert "backup" in found[f"{name} database"]["remedy"]


def test_broken_settings(healthy, port):
    healthy.service.write_text(healthy.service.read_text().replace("rate = 10\n", "rate = -10\n"))
    assert "plans.starter.rate = -10" in sick(healthy, port)["settings"]["found"]


def test_a_folder_that_others_may_read(healthy, port):
    healthy.place.root.chmod(0o755)
    assert "chmod 700" in sick(healthy, port)["state folder"]["remedy"]


def test_a_port_in_use(healthy):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "--port" in sick(healthy, port)[f"port {port}"]["remedy"]


def test_a_runtime_library_that_is_not_ours(healthy, port, monkeypatch, tmp_path):
    (tmp_path / "libLiteRt.so").write_bytes(b"\x7fELF, or not")
    monkeypatch.setenv("PAYPHONE_LITERT_LIBRARY", str(tmp_path / "libLiteRt.so"))
    assert "LiteRT runtime" in sick(healthy, port)


def test_a_wallet_that_was_changed_by_hand(healthy, port):
    healthy.ok("wallet", "top-up", "Ada Ltd", "5", "--reference", "r")
    assert sick(healthy, port) == {}
    with closing(sqlite3.connect(healthy.place.ledger_file, isolation_level=None)) as database:
        database.execute("UPDATE account SET balance = balance + 1")
    assert "not what was put in" in sick(healthy, port)["wallets and limits"]["found"]
