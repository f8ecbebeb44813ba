import contextlib
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

ENVIRONMENT = ("AWS_", "SSL_CERT_")


class Request:
    """One request as it came over the wire, and the number of the connection that it came on."""

    def __init__(self, connection: int, head: bytes, body: bytes) -> None:
        self.connection, self.head, self.body = connection, head, body
        self.line, *lines = head.decode().split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines)


Act = Callable[[socket.socket], bool]


def reply(status: int = 200, body: bytes = b"{}", piece: int = 0, keep: bool = True, **headers: str) -> Act:
    """Answer as a whole, or `piece` bytes at a time; then keep the connection or close it."""
    names = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return raw(
        f"HTTP/1.1 {status} X\r\n{names}Content-Length: {len(body)}\r\n\r\n".encode() + body, piece, keep
    )


def raw(data: bytes, piece: int = 0, keep: bool = True) -> Act:
    def act(client: socket.socket) -> bool:
        for start in range(0, len(data), piece or len(data)):
            client.sendall(data[start : start + (piece or len(data))])
        return keep

    return act


def hang_up(client: socket.socket) -> bool:
    return False


def after(event: threading.Event, act: Act) -> Act:
    """Act once the test says so."""

    def later(client: socket.socket) -> bool:
        event.wait(30)
        return act(client)

    return later


class Server:
    """A real HTTP/1.1 server on 127.0.0.1 that does with each request what the test put in `acts`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.acts: deque[Act] = deque()
        self.requests: list[Request] = []
        self.connections = 0
        self._received = threading.Condition()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://localhost:{self.port}"

    def wait_for_requests(self, count: int) -> None:
        with self._received:
            assert self._received.wait_for(lambda: len(self.requests) >= count, 30)

    def hang_up_idle(self) -> None:
        """Close every open connection, as a peer does that has waited long enough."""
        clients, self._clients = self._clients, []
        for client in clients:
            shut(client)

    def close(self) -> None:
        shut(self._listener)
        self.hang_up_idle()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(client, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            client.settimeout(30)
            if self._context:
                client = self._context.wrap_socket(client, server_side=True)
            self._clients.append(client)
            while request := self._read(client, number):
                act = self.acts.popleft() if self.acts else reply()
                with self._received:
                    self.requests.append(request)
                    self._received.notify_all()
                if not act(client):
                    break
        except OSError:
            pass
        finally:
            shut(client)

    @staticmethod
    def _read(client: socket.socket, number: int) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := client.recv(65536)):
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        request = Request(number, head, body)
        length = next((int(v) for k, v in request.headers.items() if k.lower() == "content-length"), 0)
        while len(request.body) < length:
            request.body += client.recv(65536)
        return request


def shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A certificate authority of the tests' own, and its PEM file."""
    ca = trustme.CA()
    pem = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(pem))
    return ca, pem


@pytest.fixture
def serve(authority: tuple[trustme.CA, Path]) -> Iterator[Callable[..., Server]]:
    """Start servers: over TLS with a certificate for localhost, for another `name`, or in plain."""
    servers: list[Server] = []

    def start(tls: bool = True, name: str = "localhost") -> Server:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority[0].issue_cert(name).configure_cert(context)
        servers.append(Server(context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def aws(
    serve: Callable[..., Server], authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A TLS server that the environment names as DynamoDB, trusts, and has credentials for."""
    server = serve()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority[1]))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    return server


@pytest.fixture
def acts() -> type:
    """What a server can be told to do with a request."""

    class Acts:
        reply = staticmethod(reply)
        raw = staticmethod(raw)
        hang_up = staticmethod(hang_up)
        after = staticmethod(after)

    return Acts
