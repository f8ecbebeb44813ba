import ssl
import threading
from pathlib import Path
from time import monotonic

import botocore
import pytest

from functions.aws import trust, wire
from functions.aws.wire import Connection, ConnectionLost, Endpoint, split_url

ROOTS = Path(botocore.__file__).parent / "cacert.pem"


def soon():
    return monotonic() + 20


def get(connection, name="x", bodiless=False):
    connection.send(f"GET /{name} HTTP/1.1\r\nhost: {connection.endpoint.authority}\r\n\r\n".encode(), soon())
    return connection.receive(soon(), bodiless=bodiless)


@pytest.fixture
def connection(aws):
    with_close = Connection(Endpoint("localhost", aws.port))
    yield with_close
    with_close.close()


def test_one_socket_serves_many_requests(aws, acts, connection):
    aws.acts += [acts.reply(body=bytes([65 + i]) * i) for i in range(5)]
    assert [get(connection).body for _ in range(5)] == [b"", b"B", b"CC", b"DDD", b"EEEE"]
    assert aws.connections == 1


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world"),
        (
            b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a\r\n world\r\n0\r\n\r\n",
            b"hello world",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!", b"!"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_answers_are_read_in_any_pieces(aws, acts, connection, piece, answer, body):
    aws.acts += [acts.raw(answer, piece)] * 2
    assert [get(connection).body for _ in range(2)] == [body, body]
    assert aws.connections == 1


def test_a_large_body_arrives_whole(aws, acts, connection):
    body = bytes(range(256)) * 20_000
    aws.acts.append(acts.reply(body=body))
    assert get(connection).body == body


def test_headers_are_found_by_their_lower_case_name(aws, acts, connection):
    aws.acts.append(acts.reply(status=400, X_Amzn_RequestId="  aBc:d "))
    answer = get(connection)
    assert answer.status == 400
    assert [answer.header(name) for name in ("x-amzn-requestid", "content-length", "abc")] == [
        "aBc:d",
        "2",
        "",
    ]


def test_the_answer_to_a_head_request_has_no_body(aws, acts, connection):
    aws.acts += [acts.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"), acts.reply(body=b"next")]
    assert get(connection, bodiless=True).header("content-length") == "999"
    assert get(connection).body == b"next"
    assert aws.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
    ],
)
def test_a_socket_unfit_for_more_is_replaced(aws, acts, connection, answer):
    """The server is done with it, or it carries bytes that nobody asked for."""
    aws.acts += [acts.raw(answer), acts.reply(body=b"fresh")]
    assert [get(connection).body for _ in range(2)] == [b"ok", b"fresh"]
    assert [request.connection for request in aws.requests] == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200",
        b"\0",
    ],
)
def test_anything_but_a_whole_answer_is_a_lost_connection(aws, acts, connection, answer):
    aws.acts += [acts.raw(answer, keep=False), acts.reply(body=b"fresh")]
    with pytest.raises(ConnectionLost):
        get(connection)
    assert get(connection).body == b"fresh"


def test_an_unread_answer_is_never_read_by_the_next_request(aws, acts, connection):
    aws.acts += [acts.reply(body=b"first"), acts.reply(body=b"second")]
    connection.send(b"GET /first HTTP/1.1\r\n\r\n", soon())
    assert get(connection, "second").body == b"second"
    assert {request.line: request.connection for request in aws.requests} == {
        "GET /first HTTP/1.1": 1,
        "GET /second HTTP/1.1": 2,
    }


def test_nothing_is_received_that_was_not_asked_for(aws, connection):
    connection.connect(soon())
    with pytest.raises(ConnectionLost, match="no request under way"):
        connection.receive(soon())


def test_a_late_answer_is_lost_at_the_deadline(aws, acts, connection):
    answered = threading.Event()
    aws.acts += [acts.after(answered, acts.reply(body=b"late")), acts.reply(body=b"fresh")]
    connection.send(b"GET / HTTP/1.1\r\n\r\n", soon())
    with pytest.raises(ConnectionLost, match="gave no answer"):
        connection.receive(monotonic() + 0.1)
    answered.set()
    assert get(connection).body == b"fresh"


def test_a_passed_deadline_asks_nobody(aws, connection):
    with pytest.raises(ConnectionLost, match="deadline has passed"):
        connection.send(b"GET / HTTP/1.1\r\n\r\n", monotonic() - 1)
    assert aws.connections == 0


def test_a_socket_that_slept_too_long_is_not_trusted(aws, connection, monkeypatch):
    """After a restore from a snapshot, hours later by the wall clock, the peer is long gone."""
    get(connection)
    woken = wire.time() + wire.MAX_IDLE_SECONDS
    monkeypatch.setattr(wire, "time", lambda: woken)
    get(connection)
    assert [request.connection for request in aws.requests] == [1, 2]


def test_nobody_listening_is_a_lost_connection(serve):
    server = serve()
    server.close()
    with pytest.raises(ConnectionLost, match=f"localhost:{server.port} can't be reached"):
        Connection(Endpoint("localhost", server.port)).connect(soon())


def test_a_certificate_of_another_host_is_refused(aws, serve):
    server = serve(name="example.com")
    with pytest.raises(ConnectionLost, match="certificate verify failed"):
        Connection(Endpoint("localhost", server.port)).connect(soon())
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(aws, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ROOTS))
    with pytest.raises(ConnectionLost, match="certificate verify failed"):
        Connection(Endpoint("localhost", aws.port)).connect(soon())


def test_of_a_system_bundle_amazons_roots_come_first(monkeypatch):
    """Real roots, as botocore ships them: few are loaded at start, all if those do not do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ROOTS))
    few, every = trust.trusted(), trust.trusted(all_roots=True)
    names = {dict(part[0] for part in root["subject"])["organizationName"] for root in few.get_ca_certs()}
    assert names == {"Amazon", "Starfield Technologies, Inc."}
    assert few.cert_store_stats()["x509"] == 5 < every.cert_store_stats()["x509"]
    for context in (few, every):
        assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED


def test_a_root_that_is_not_amazons_is_found_in_the_whole_bundle(
    aws, authority, connection, monkeypatch, tmp_path
):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ROOTS.read_bytes() + authority[1].read_bytes())
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert trust.trusted().cert_store_stats()["x509"] == 5
    assert get(connection).status == 200


@pytest.mark.parametrize(
    ("url", "endpoint", "path", "authority"),
    [
        ("http://localhost:8000", ("localhost", 8000, False), "/", "localhost:8000"),
        ("https://LOCALHOST/", ("localhost", 443, True), "/", "localhost"),
        ("http://[fd00:ec2::23]/v1/x?y=1", ("fd00:ec2::23", 80, False), "/v1/x?y=1", "[fd00:ec2::23]"),
        ("https://h:80/", ("h", 80, True), "/", "h:80"),
        ("http://[::ffff:1.2.3.4]:8/", ("::ffff:1.2.3.4", 8, False), "/", "[::ffff:1.2.3.4]:8"),
    ],
)
def test_urls_are_split(url, endpoint, path, authority):
    assert split_url(url) == (endpoint, path)
    assert split_url(url)[0].authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://h",
        "http://",
        "http://u:p@h/",
        "http://h:99999",
        "http://h:000080",
        "http://\u212a",
    ],
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match=r"expected|range"):
        split_url(url)
