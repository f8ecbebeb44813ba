"""From an answer's receipt to a verified invoice, as operator and customer do it: HTTP and commands."""

import json
import os
import subprocess
import sys
import time

import pytest

from functions.metering.usage import month_of

PATH = "/v1/models/sentiment/predict"
CALL = {"instances": ["A film I would see again."]}
V2 = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["Good.", "Bad."]}]}
ME, OTHER = "cus_0000000000000001", "cus_0000000000000002"
MONTH = month_of(time.time_ns() // 1_000_000)


@pytest.fixture(scope="module")
def operator(server):
    def run(*arguments):
        return payphone("--state", str(server.state), "--service", str(server.service), *arguments)

    return run


def payphone(*arguments, cwd=None, **environment):
    command = [sys.executable, "-c", "from infra.cli.main import app; app()", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, check=False
    )
    return done.returncode, done.stdout, done.stderr


def as_curl_saves(answer):
    lines = [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([f"HTTP/1.1 {answer.status_code} OK", *lines, "", ""])


@pytest.fixture(scope="module")
def month(server, operator, tmp_path_factory):
    """What the customer has on his own machine after a month: headers, an invoice, a key, proofs."""
    kept = tmp_path_factory.mktemp("customer")
    key, _ = server.issue(customer=ME)
    other, _ = server.issue(customer=OTHER)
    once = {"idempotency-key": "once"}
    with server.client(key) as mine, server.client(other) as theirs:
        answers = [mine.post(PATH, json=CALL) for _ in range(3)]
        answers += [mine.post(PATH, json=CALL, headers=once) for _ in range(2)]
        answers.append(mine.post("/v2/models/sentiment/infer", json=V2))
        answers.append(mine.post(PATH, json={"instances": [7]}))
        assert [answer.status_code for answer in answers] == [200] * 6 + [422]
        assert "payphone-receipt" not in answers[-1].headers
        stranger = theirs.post(PATH, json=CALL)
        (kept / "headers.txt").write_text("".join(map(as_curl_saves, answers)))
        call = answers[0].headers["payphone-call-id"]
        pending = mine.get(f"/v1/receipts/{call}").json()
        assert (pending["status"], pending["receipt"]) == ("pending", answers[0].headers["payphone-receipt"])
    code, said, error = operator("invoice", "close", "--month", MONTH, "--early", "--json")
    assert code == 0, error
    (invoice,) = [each for each in json.loads(said)["invoices"] if each["customer"] == ME]
    (kept / "invoice.json").write_text(operator("invoice", "show", invoice["number"], "--json")[1])
    assert operator("seal", "key", "--out", str(kept / "seal.pem"))[0] == 0
    fetched = payphone(
        *("receipts", "fetch", "headers.txt", "--out", "proofs.jsonl", "--url", server.url, "--json"),
        cwd=kept,
        PAYPHONE_KEY=key,
    )
    assert json.loads(fetched[1]) == {"had": 0, "fetched": 5, "pending": [], "missing": []}
    return kept, key, call, stranger.headers["payphone-call-id"]


def test_the_customer_verifies_with_the_files_alone(month):
    kept, *_ = month
    before = sorted(path.name for path in kept.iterdir())
    code, said, error = payphone(
        *("verify", "invoice.json", "headers.txt", "proofs.jsonl", "--public-key", "seal.pem", "--json"),
        cwd=kept,
        PAYPHONE_STATE=str(kept / "no-such-state"),
    )
    assert (code, error) == (0, "")
    verdict = json.loads(said)
    assert verdict["verified"] is True
    assert (verdict["calls"], verdict["receipts"], verdict["proven"]) == (5, 5, 5)
    assert (verdict["wrong"], verdict["notes"]) == ([], [])
    assert sorted(path.name for path in kept.iterdir()) == before
    code, said, _ = payphone("verify", "invoice.json", "headers.txt", "proofs.jsonl", cwd=kept)
    assert code == 0 and "verified" in said and "--public-key" in said


def test_what_does_not_fit_is_said_in_a_sentence_and_by_the_exit_code(month):
    kept, *_ = month
    invoice = json.loads((kept / "invoice.json").read_text())
    invoice["lines"][0]["quantity"] += 1
    (kept / "dearer.json").write_text(json.dumps(invoice))
    code, said, _ = payphone("verify", "dearer.json", "headers.txt", "proofs.jsonl", cwd=kept)
    assert code == 1
    assert "does not fit" in said and "something in it was changed since" in said
    code, said, _ = payphone("verify", "invoice.json", "headers.txt", cwd=kept)
    assert code == 1 and "5 without a valid proof" in said
    code, _, error = payphone("verify", "headers.txt", "headers.txt", cwd=kept)
    assert code == 1 and "is not JSON" in error
    assert payphone("verify", "nowhere.json", "headers.txt", cwd=kept)[0] == 2


def test_a_proof_is_given_to_nobody_else(month, server):
    kept, key, mine, theirs = month
    with server.client(key) as client, server.client() as nobody:
        assert client.get(f"/v1/receipts/{mine}").json()["status"] == "sealed"
        invoice = json.loads((kept / "invoice.json").read_text())
        assert client.get(f"/v1/invoices/{invoice['number']}").json() == invoice  # so it verifies, too
        day = client.get(f"/v1/receipts/{mine}").json()["receipt"][:10]
        for call in (theirs, "gw:none", ""):
            for query in ({}, {"day": day}):
                answer = client.get(f"/v1/receipts/{call}", params=query)
                assert answer.status_code == 404, call
        refused = client.get(f"/v1/receipts/{mine}", params={"day": "2026-13-01"})
        assert refused.status_code == 422
        for path in (f"/v1/receipts/{mine}", "/v1/sealing-keys"):
            assert nobody.get(path).status_code == 401
        assert len(client.get("/v1/sealing-keys").json()["keys"]) == 1


def test_fetching_again_asks_for_nothing_that_is_there(month, server):
    kept, key, *_ = month
    lines = (kept / "proofs.jsonl").read_text().splitlines()
    arguments = ("receipts", "fetch", "headers.txt", "-o", "proofs.jsonl", "--key", key, "--json", "--url")
    assert json.loads(payphone(*arguments, server.url, cwd=kept)[1])["had"] == 5
    assert json.loads(payphone(*arguments, "http://127.0.0.1:1", cwd=kept)[1])["fetched"] == 0
    assert (kept / "proofs.jsonl").read_text().splitlines() == lines
    (kept / "lost.txt").write_text(f"gw:lost 2026-11-23.{'0f' * 32}\n")
    code, said, _ = payphone(
        *("receipts", "fetch", "lost.txt", "-o", "lost.jsonl", "--key", key, "--json", "--url"),
        server.url,
        cwd=kept,
    )
    assert code == 1 and json.loads(said)["missing"] == ["gw:lost"]


def test_books_log_and_seals_agree_afterwards_and_a_changed_row_is_named(month, server, operator):
    _, _, mine, _ = month
    code, said, _ = operator("reconcile", "--month", MONTH, "--json")
    assert code == 0, said
    import sqlite3

    with sqlite3.connect(server.workspace.ledger_file) as database:
        database.execute("UPDATE call SET units = units + 1 WHERE call_id = ?", (mine,))
    code, said, _ = operator("reconcile", "--month", MONTH, "--json")
    found = [(each["what"], each["call"]) for each in json.loads(said)["findings"]]
    assert code == 1 and set(found) == {("changed", mine)}


def test_the_key_is_private_and_rotates(server, operator):
    (file,) = server.workspace.sealing_keys.glob("*.pem")
    assert file.stat().st_mode & 0o777 == 0o600
    old = json.loads(operator("seal", "key", "--json")[1])
    code, said, _ = operator("seal", "rotate", "--json")
    assert code == 0 and json.loads(said)["previous"] == old["id"]
    new = json.loads(operator("seal", "key", "--json")[1])
    assert (new["previous"], new["id"] != old["id"]) == (old["id"], True)
    assert json.loads(operator("seal", "list", "--json")[1])["seals"]
    assert json.loads(operator("seal", "run", "--json")[1]) == {"sealed": []}


def test_fetching_waits_where_it_is_throttled(month, server):
    kept, *_ = month
    slow, _ = server.issue(plan="slow", customer=ME)
    code, said, error = payphone(
        *("receipts", "fetch", "headers.txt", "--out", "slow.jsonl", "--json", "--url", server.url),
        cwd=kept,
        PAYPHONE_KEY=slow,
    )
    assert (code, json.loads(said)["fetched"]) == (0, 5), error
    other, _ = server.issue(customer=OTHER)
    (kept / "mine.txt").write_text((kept / "headers.txt").read_text())
    code, said, _ = payphone(
        *("receipts", "fetch", "mine.txt", "--out", "theirs.jsonl", "--json", "--url", server.url),
        cwd=kept,
        PAYPHONE_KEY=other,
    )
    assert code == 1 and len(json.loads(said)["missing"]) == 5
