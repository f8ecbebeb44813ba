"""The runtime client, started by the script of a built zip, against a Runtime API over real sockets."""

import json
import os
import socket
import subprocess
import sys
import threading
import zipfile

import pytest

from layers import bundle

HANDLER = """
import sys
assert not any("site-packages" in path for path in sys.path)

def handler(event, context):
    if event.get("fail"):
        raise ValueError("what the caller sent: " + event["fail"])
    if event.get("leave"):
        sys.exit(3)
    return {"echo": event, "context": context}
"""
BROKEN = "raise RuntimeError('PAYPHONE_STAGE is not set')\n"
ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


class Lambda:
    """A Runtime API that plays a list of answers, one a request, and keeps what it was asked."""

    def __init__(self, task):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.asked, self.heads = [], []
        host, port = self.listening.getsockname()
        environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"}
        command = [str(task / bundle.START), sys.executable, "/var/runtime/bootstrap.py"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def play(self, *answers):
        """Give each of these to one request, then let the process end; its exit code and stderr."""
        thread = threading.Thread(target=self._serve, args=(answers,))
        thread.start()
        thread.join(20)
        if not thread.is_alive():
            self.listening.close()
        said = self.process.communicate(timeout=20)[1]
        return self.process.returncode, said

    def _serve(self, answers):
        connection, data = None, b""
        for answer in answers:
            while b"\r\n\r\n" not in data or len(data) < total(data):
                if connection is None:
                    connection = self.listening.accept()[0]
                    connection.settimeout(20)
                more = connection.recv(65536)
                if not more:
                    connection.close()
                    connection, data = None, b""
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            line = head.split(b"\r\n")[0].decode()
            self.heads.append(head.decode())
            self.asked.append((line, rest[: total(data) - len(head) - 4]))
            data = data[total(data) :]
            if answer is None:
                connection.close()
                connection, data = None, b""
            else:
                for part in answer if isinstance(answer, list) else [answer]:
                    connection.sendall(part)
        if connection:
            connection.close()


def total(data):
    """Bytes of the first request in `data`, whose head is complete."""
    head = data.partition(b"\r\n\r\n")[0]
    fields = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + (int(fields[0].split(b":")[1]) if fields else 0)


def event(document, more=""):
    body = json.dumps(document).encode()
    return head(more) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def head(more=""):
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {ID}\r\nLambda-Runtime-Deadline-Ms: 1542409706888\r\n{more}"
    ).encode()


ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status": "OK"}'
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
NEXT = "GET /2018-06-01/runtime/invocation/next HTTP/1.1"
RESPONSE = f"POST /2018-06-01/runtime/invocation/{ID}/response HTTP/1.1"


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The zip of the handler that runs under this client, unpacked as Lambda does it, and no handler."""
    made = tmp_path_factory.mktemp("zip")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with zipfile.ZipFile(bundle.build("functions.handlers.predict", made, python).path) as file:
        file.extractall(made / "task")
        mode = file.getinfo(bundle.START).external_attr >> 16
    (made / "task" / bundle.START).chmod(mode)
    for path in (made / "task" / "functions" / "handlers").rglob("predict.*"):
        path.unlink()
    return made / "task"


@pytest.fixture
def start(task):
    """Start the client on the source of a handler."""

    def started(source):
        (task / "functions" / "handlers" / "predict.py").write_text(source)
        return Lambda(task)

    return started


def test_events_are_answered_one_after_the_other(start):
    api = start(HANDLER)
    text = "Grüße 🍀"
    code, said = api.play(event({"a": text}), ACCEPTED, event({"b": [1, 2.5]}), ACCEPTED, GONE)
    assert code != 0
    assert "Lambda gave no event: HTTP status 410" in said
    assert [line for line, _ in api.asked] == [NEXT, RESPONSE, NEXT, RESPONSE, NEXT]
    assert json.loads(api.asked[1][1]) == {"echo": {"a": text}, "context": None}
    assert json.loads(api.asked[3][1]) == {"echo": {"b": [1, 2.5]}, "context": None}


def test_a_large_event_comes_in_chunks_and_pieces(start):
    body = json.dumps({"a": "x" * 3_000_000}).encode()
    parts = [head() + b"Transfer-Encoding: chunked\r\n\r\n"]
    for at in range(0, len(body), 700_000):
        piece = body[at : at + 700_000]
        parts += [b"%x\r\n" % len(piece), piece, b"\r\n"]
    api = start(HANDLER)
    api.play([*parts, b"0\r\n\r\n"], ACCEPTED, GONE)
    assert json.loads(api.asked[1][1])["echo"] == json.loads(body)


def test_a_call_that_fails_is_told_without_its_payload(start):
    api = start(HANDLER)
    _, said = api.play(event({"fail": "a secret"}), ACCEPTED, event({"c": 1}), ACCEPTED, GONE)
    line, body = api.asked[1]
    assert line == f"POST /2018-06-01/runtime/invocation/{ID}/error HTTP/1.1"
    told = json.loads(body)
    assert told["errorType"] == told["errorMessage"] == "ValueError"
    assert told["stackTrace"][-1].endswith(" handler")
    assert json.loads(said.splitlines()[0]) == told
    assert "secret" not in said
    assert api.asked[3][0] == RESPONSE


def test_a_failure_that_lambda_does_not_take_is_no_reason_to_show_a_payload(start):
    code, said = start(HANDLER).play(event({"fail": "a secret"}), FORBIDDEN)
    assert (code, "secret" in said) == (1, False)
    assert "Lambda did not take" in said


def test_a_connection_that_died_is_opened_anew_and_asked_again(start):
    api = start(HANDLER)
    api.play(event({"a": 1}), None, ACCEPTED, None, event({"b": 2}), ACCEPTED, GONE)
    assert [line for line, _ in api.asked] == [NEXT, RESPONSE, RESPONSE, NEXT, NEXT, RESPONSE, NEXT]
    assert api.asked[1] == api.asked[2]


def test_an_answer_that_had_arrived_before_its_connection_died_is_not_asked_for_again(start):
    api = start(HANDLER)
    api.play(event({"a": 1}), None, FORBIDDEN, event({"b": 2}), ACCEPTED, GONE)
    assert [line for line, _ in api.asked] == [NEXT, RESPONSE, RESPONSE, NEXT, RESPONSE, NEXT]


def test_answers_name_the_invocation_where_lambda_has_named_it(start):
    api, given = start(HANDLER), "Lambda-Runtime-Invocation-Id: 7f-1\r\n"
    api.play(event({}, given), ACCEPTED, event({"fail": "no"}, given), ACCEPTED, event({}), ACCEPTED, GONE)
    assert [given in f"{head}\r\n" for head in api.heads] == [False, True, False, True, False, False, False]


@pytest.mark.parametrize("refusal", [TOO_LARGE, GONE])
def test_an_answer_that_lambda_can_not_use_ends_nothing(start, refusal):
    api = start(HANDLER)
    api.play(event({"a": 1}), refusal, event({}), ACCEPTED, GONE)
    assert [line for line, _ in api.asked] == [NEXT, RESPONSE, NEXT, RESPONSE, NEXT]


def test_an_answer_that_lambda_does_not_want_ends_the_sandbox(start):
    api = start(HANDLER)
    code, said = api.play(event({"a": 1}), FORBIDDEN)
    assert code == 1
    assert f"Lambda did not take invocation/{ID}/response: HTTP status 403" in said


def test_a_handler_that_ends_the_process_ends_it(start):
    assert start(HANDLER).play(event({"leave": True})) == (3, "")


def test_a_handler_that_can_not_start_says_why(start):
    api = start(BROKEN)
    code, said = api.play(ACCEPTED)
    line, body = api.asked[0]
    assert (code, line) == (1, "POST /2018-06-01/runtime/init/error HTTP/1.1")
    told = json.loads(body)
    assert (told["errorType"], told["errorMessage"]) == ("RuntimeError", "PAYPHONE_STAGE is not set")
    assert json.loads(said.splitlines()[0]) == told
