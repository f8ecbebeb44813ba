"""One connection of the local server, spoken to byte by byte."""

import json
import socket
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

PATH = "/v1/models/sentiment/predict"
BODY = json.dumps({"instances": ["A fine film."]}).encode()
LIMIT = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def key(server):
    return server.issue()[0]


@contextmanager
def connection(server):
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as opened:
        yield opened, opened.makefile("rb")


def head(method, path, key, *more):
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"x-api-key: {key}", "content-type: application/json"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def post(key, body=BODY, *more):
    return head("POST", PATH, key, f"content-length: {len(body)}", *more) + body


def answer(file, *, bodiless=False):
    """Status, headers and body of the next answer."""
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    return status, headers, b"" if bodiless else file.read(int(headers.get("content-length", 0)))


def test_a_connection_serves_one_call_after_the_other(server, key):
    with connection(server) as (opened, file):
        for _ in range(3):
            opened.sendall(post(key))
            status, headers, body = answer(file)
            assert (status, headers["content-type"]) == (200, "application/json")
            assert "connection" not in headers
            assert json.loads(body)["usage"]["billed"] is True


def test_pipelined_requests_are_answered_in_their_order_whoever_answers_them(server, key):
    with connection(server) as (opened, file):
        opened.sendall(
            post(key)
            + head("GET", "/v2/health/live", key)
            + post(key, b"{}")
            + post(key)
            + head("GET", "/v2/models/sentiment/ready", key)
        )
        answers = [answer(file) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 400, 200, 200]
    assert "predictions" in json.loads(answers[3][2])
    assert json.loads(answers[4][2]) == {"name": "sentiment", "ready": True}


def test_a_body_may_come_in_pieces_and_in_chunks(server, key):
    with connection(server) as (opened, file):
        request = post(key)
        for at in range(0, len(request), 40):
            opened.sendall(request[at : at + 40])
        assert answer(file)[0] == 200
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
        opened.sendall(head("POST", PATH, key, "transfer-encoding: chunked") + chunks)
        assert answer(file)[0] == 200


def test_a_caller_that_asks_first_is_told_to_go_on(server, key):
    with connection(server) as (opened, file):
        opened.sendall(head("POST", PATH, key, f"content-length: {len(BODY)}", "expect: 100-continue"))
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert file.readline() == b"\r\n"
        opened.sendall(BODY)
        assert answer(file)[0] == 200


@pytest.mark.parametrize("expect", [(), ("expect: 100-continue",)])
def test_a_body_that_is_announced_too_large_is_refused_unread(server, key, expect):
    with connection(server) as (opened, file):
        opened.sendall(head("POST", PATH, key, f"content-length: {LIMIT + 1}", *expect))
        status, headers, body = answer(file)
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body)["type"] == "urn:payphone:problem:request-too-large"
        assert file.read() == b""


def test_a_body_that_turns_out_too_large_is_refused_while_it_comes(server, key):
    with connection(server) as (opened, file):
        opened.sendall(head("POST", PATH, key, "transfer-encoding: chunked"))
        for _ in range(LIMIT // 65536 + 1):
            opened.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        status, headers, _ = answer(file)
        assert (status, headers["connection"]) == (413, "close")


def test_a_pipelined_body_that_is_too_large_waits_for_its_turn(server, key):
    with connection(server) as (opened, file):
        opened.sendall(post(key) + head("POST", PATH, key, f"content-length: {LIMIT + 1}"))
        assert [answer(file)[0], answer(file)[0]] == [200, 413]


def test_the_last_call_on_a_connection_closes_it(server, key):
    for request in (post(key, BODY, "connection: close"), post(key).replace(b"HTTP/1.1", b"HTTP/1.0", 1)):
        with connection(server) as (opened, file):
            opened.sendall(request)
            status, headers, _ = answer(file)
            assert (status, headers["connection"]) == (200, "close")
            assert file.read() == b""


def test_head_gets_headers_and_no_body(server, key):
    with connection(server) as (opened, file):
        opened.sendall(head("HEAD", PATH, key) + post(key))
        status, headers, _ = answer(file, bodiless=True)
        assert (status, headers["allow"]) == (405, "POST")
        assert answer(file)[0] == 200


def test_a_caller_that_hangs_up_has_still_made_its_call(server):
    key, record = server.issue(customer="cus_00000000000000aa")
    with connection(server) as (opened, _):
        opened.sendall(post(key))
    with server.client(key) as client:
        assert (
            client.post(PATH, content=BODY, headers={"content-type": "application/json"}).status_code == 200
        )
    assert 1 <= len(server.rows(record.customer)) <= 2


def test_rows_of_one_moment_lie_together(server):
    key, record = server.issue(customer="cus_00000000000000bb")
    with connection(server) as (opened, file):
        opened.sendall(post(key) * 20)
        assert {answer(file)[0] for _ in range(20)} == {200}
    rows = server.rows(record.customer)
    times = [int(row.attempts[0][:12], 16) for row in rows]
    assert times == [row.started_at for row in rows]
    assert len({row.attempts[0][12:] for row in rows}) == 20
