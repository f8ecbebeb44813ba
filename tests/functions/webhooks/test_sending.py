"""Where webhooks go and where not: real sockets, real certificates, a name server that lies."""

import contextlib
import http.server
import ipaddress
import socket
import ssl
import threading

import pytest
import trustme

from functions.webhooks import sending
from functions.webhooks.sending import ALLOW_PRIVATE, ForbiddenAddress, check_url, is_public, post, resolve

PRIVATE = """
0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.8.8.8 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255
192.0.0.1 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
:: ::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 fc00::1 fd00:ec2::254 fe80::1 ff02::1
2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2001::1
"""
PUBLIC = "1.1.1.1 8.8.8.8 93.184.215.14 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_it_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_it_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook", "ftp://example.com", "https://", "example.com", "https://a:b@example.com/",
        "https://example.com/#x", "https://exa\nmple.com/", "https://[::1", "https://example.com:99999/", "",
        "https://exämple.com/", "https://169.254.169.254/latest", "https://[::1]/", "https://10.0.0.1:8443/",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url):
    with pytest.raises(ForbiddenAddress):
        check_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0", "[::1]"])
def test_no_spelling_of_this_machine_is_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        sent = post(f"https://{host}:{listening.getsockname()[1]}/", b"{}", {})
        assert sent.status == 0
        with pytest.raises(TimeoutError):
            listening.accept()


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    answers = [(None, None, None, "", (address, 443)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: answers)
    with pytest.raises(ForbiddenAddress, match=r"10\.0\.0\.1"):
        resolve("rebinding.example", 443)


def test_the_address_that_was_looked_at_is_the_one_connected_to(monkeypatch):
    """A name that is public at first and private ever after: it is asked once."""
    asked, connected = [], []
    public = [(None, None, None, "", ("1.1.1.1", 443))]
    private = [(None, None, None, "", ("127.0.0.1", 443))]

    def lookup(*arguments, **options):
        asked.append(arguments)
        return public if len(asked) == 1 else private

    def connect(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert post("https://rebinding.example/", b"{}", {}).status == 0
    assert connected == [("1.1.1.1", 443)]
    assert len(asked) == 1


@contextlib.contextmanager
def receiver(answer, certificate=None):
    """A server on this machine that answers each POST by `answer(handler)` and keeps what came."""
    came = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append((self.path, dict(self.headers), body))
            answer(self)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code, **headers):
    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def trusted(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def to_this_machine(monkeypatch, name):
    """Let a public name lead here, as far as our own check of it goes."""
    monkeypatch.setattr(sending, "resolve", lambda host, port: "127.0.0.1")
    return name


def test_it_is_sent_under_the_original_name(monkeypatch, authority, trusted):
    name = to_this_machine(monkeypatch, "hooks.example.com")
    with receiver(status(204), authority.issue_cert(name)) as (port, came):
        sent = post(f"https://{name}:{port}/a?b=c", b'{"x":1}', {"webhook-id": "msg_1"}, trusted)
    assert (sent.status, sent.delivered) == (204, True)
    ((path, headers, body),) = came
    assert (path, body, headers["Host"], headers["webhook-id"]) == (
        "/a?b=c", b'{"x":1}', f"{name}:{port}", "msg_1",
    )  # fmt: skip
    assert headers["content-type"] == "application/json"


def test_a_certificate_of_another_name_is_not_accepted(monkeypatch, authority, trusted):
    name = to_this_machine(monkeypatch, "hooks.example.com")
    with receiver(status(200), authority.issue_cert("other.example.com")) as (port, came):
        sent = post(f"https://{name}:{port}/", b"{}", {}, trusted)
    assert (sent.status, came) == (0, [])
    assert "SSLCertVerificationError" in sent.said


def test_a_redirect_is_not_followed(monkeypatch, authority, trusted):
    name = to_this_machine(monkeypatch, "hooks.example.com")
    with (
        receiver(status(200)) as (inner, reached),
        receiver(status(307, location=f"http://127.0.0.1:{inner}/"), authority.issue_cert(name)) as (port, _),
    ):
        sent = post(f"https://{name}:{port}/", b"{}", {}, trusted)
    assert (sent.status, sent.delivered, reached) == (307, False, [])


def test_a_receiver_that_breaks_off_or_says_nonsense_is_no_answer(monkeypatch):
    monkeypatch.setenv(ALLOW_PRIVATE, "1")

    def nonsense(handler):
        handler.wfile.write(b"\x00\x01 not HTTP at all\r\n\r\n")

    for answer in (nonsense, lambda handler: None):
        with receiver(answer) as (port, _):
            assert post(f"http://127.0.0.1:{port}/", b"{}", {}).status == 0


def test_a_receiver_that_answers_byte_by_byte_is_broken_off(monkeypatch):
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    monkeypatch.setattr(sending, "SECONDS_IN_ALL", 0.5)
    ended = threading.Event()

    def drip(handler):
        with contextlib.suppress(OSError):
            while not ended.wait(0.05):
                handler.wfile.write(b"x")

    with receiver(drip) as (port, _):
        try:
            assert post(f"http://127.0.0.1:{port}/", b"{}", {}).status == 0
        finally:
            ended.set()


def test_the_setting_for_trying_things_out_lets_this_machine_through(monkeypatch):
    with receiver(status(200)) as (port, came):
        url = f"http://127.0.0.1:{port}/"
        assert not post(url, b"{}", {}).delivered
        monkeypatch.setenv(ALLOW_PRIVATE, "1")
        assert post(url, b"{}", {}).delivered
    assert len(came) == 1
