"""One kept-alive HTTP/1.1 connection, split in two: send now, receive after something else was done.

No thread and no http.client: a request is bytes, an answer is read by the few rules that AWS' servers
use (Content-Length or chunked). A socket with an unread answer is never sent on again, so one call
can't read another's answer, whatever was raised in between. Any failure closes the socket and is
ConnectionLost; whether to send again is the caller's to know.

Deadlines are as in stream.py.
"""

from __future__ import annotations

from time import time

from functions.aws.stream import Stream
from models.typed import NamedTuple

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
HOST = "abcdefghijklmnopqrstuvwxyz0123456789._-"
IPV6 = "0123456789abcdef:."
MAX_IDLE_SECONDS = 300  # NAT gateways and load balancers forget a connection after 350 s


class ConnectionLost(Exception):
    """No complete answer came; what was sent may or may not have been done."""


class Endpoint(NamedTuple):
    """Where a service listens."""

    host: str
    port: int = 443
    tls: bool = True

    @property
    def authority(self) -> str:
        """The Host header: the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def split_url(url: str) -> tuple[Endpoint, str]:
    """Take an http(s) URL apart into endpoint and path with query; ValueError if it is none.

    Emulators and container credentials only. Importing urllib or re for it would cost a cold start 3 ms.
    """
    scheme, _, rest = url.partition("://")
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, path = rest[:start].lower(), rest[start:]
    tls = scheme.lower() == "https"
    host, colon, port = authority.rpartition(":") if authority[-1:] != "]" else (authority, "", "")
    if not colon:
        host, port = authority, "443" if tls else "80"
    name, letters = (host[1:-1], IPV6) if host[:1] + host[-1:] == "[]" else (host, HOST)
    if (
        not url.isascii()
        or not (tls or scheme.lower() == "http")
        or not name
        or name.strip(letters)
        or port.strip("0123456789")
        or len(port) > 5
        or not 0 < int(port or 0) < 65536
        or not all("!" <= one <= "~" for one in path)
    ):
        shown = url.partition("?")[0].rpartition("@")[2]
        raise ValueError(f"{shown} is no endpoint: http(s)://host[:port] was expected")
    return Endpoint(name, int(port), tls), path if path.startswith("/") else f"/{path}"


class Answer(NamedTuple):
    """A complete HTTP answer. `head` is as it came, from the status line on."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """One header's value, "" if there is none; `name` in lower case."""
        return _field(self.head, self.head.lower(), f"\r\n{name}:".encode()).decode("latin-1")


class Connection:
    """One connection to one endpoint, opened when first needed and again after it was lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._stream: Stream | None = None
        self._unread = False
        self._last_used = 0.0

    def connect(self, deadline: float) -> Stream:
        """Open the stream if it is not open, or not fit for use."""
        stream = self._stream
        # Wall clock: the monotonic one may stand still while a sandbox is frozen or a snapshot lies on disk.
        if stream and not self._unread and 0 <= time() - self._last_used < MAX_IDLE_SECONDS:
            return stream
        self.close()
        host, port, tls = self.endpoint
        try:
            self._stream = stream = Stream(host, port, deadline, tls=tls)
        except OSError as error:
            raise ConnectionLost(f"{self.endpoint.authority} can't be reached: {error}") from error
        self._last_used = time()
        return stream

    def send(self, request: bytes, deadline: float) -> None:
        """Send one whole request. Its answer has to be received before the next is sent."""
        stream = self.connect(deadline)
        self._unread = True
        try:
            stream.send(request, deadline)
        except OSError as error:
            self.close()
            raise ConnectionLost(f"{self.endpoint.authority} took no request: {error}") from error

    def receive(self, deadline: float, *, bodiless: bool = False) -> Answer:
        """Read the answer to what was sent; `bodiless` where the request was a HEAD."""
        if self._stream is None or not self._unread:
            raise ConnectionLost("there is no request under way")
        kept = False
        try:
            answer, kept = self._read(deadline, bodiless)
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"{self.endpoint.authority} gave no answer: {error}") from error
        finally:
            if not kept:
                self.close()
        self._unread = False
        self._last_used = time()
        return answer

    def close(self) -> None:
        """Let go of the socket. The connection may be used again."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._unread = None, False

    def __del__(self) -> None:
        self.close()

    def _receive_some(self, deadline: float) -> bytes:
        assert self._stream is not None
        if data := self._stream.receive(deadline):
            return data
        raise ConnectionResetError("the connection was closed")

    def _read(self, deadline: float, bodiless: bool) -> tuple[Answer, bool]:
        """Read one answer, and say whether the connection is fit for another request."""
        status, head, rest = self._read_head(deadline)
        lower = head.lower()
        # Whether a header is there at all is one search, and mostly it is not.
        if bodiless or status in (204, 304):
            body = b""
        elif (
            b"\r\ntransfer-encoding:" in lower
            and _field(lower, lower, b"\r\ntransfer-encoding:") == b"chunked"
        ):
            body, rest = self._read_chunked(rest, deadline)
        else:
            length = _number(_field(lower, lower, b"\r\ncontent-length:"))
            if len(rest) == length <= MAX_BODY:
                body, rest = rest, b""
            else:
                body = self._read_exactly(length, rest, deadline)
                rest = rest[length:]
        kept = not rest and lower.startswith(b"http/1.1")
        if b"\r\nconnection:" in lower and _field(lower, lower, b"\r\nconnection:") == b"close":
            kept = False
        return Answer(status, head, body), kept

    def _read_head(self, deadline: float) -> tuple[int, bytes, bytes]:
        data = self._receive_some(deadline)
        while True:
            while (end := data.find(b"\r\n\r\n")) < 0:
                if len(data) > MAX_HEAD:
                    raise ValueError(f"the headers are over {MAX_HEAD} bytes")
                data += self._receive_some(deadline)
            head, data = data[: end + 2], data[end + 4 :]
            status = _number(head[9:12])
            if not head.startswith(b"HTTP/1.") or status < 100:
                raise ValueError("this is not HTTP/1.1")
            if status >= 200:
                return status, head, data

    def _read_exactly(self, length: int, rest: bytes, deadline: float) -> bytes:
        if length > MAX_BODY:
            raise ValueError(f"the body is over {MAX_BODY} bytes")
        if len(rest) >= length:
            return rest[:length]
        parts, missing = [rest], length - len(rest)
        while missing > 0:
            parts.append(self._receive_some(deadline))
            missing -= len(parts[-1])
        if missing:
            raise ValueError("there is more than the announced body")
        return b"".join(parts)

    def _read_chunked(self, rest: bytes, deadline: float) -> tuple[bytes, bytes]:
        body = bytearray()
        while True:
            while b"\r\n" not in rest:
                rest += self._receive_some(deadline)
            size_line, _, rest = rest.partition(b"\r\n")
            size = _hexadecimal(size_line.partition(b";")[0].strip())
            if len(body) + size > MAX_BODY:
                raise ValueError(f"the body is over {MAX_BODY} bytes")
            while len(rest) < size + 2:
                rest += self._receive_some(deadline)
            if rest[size : size + 2] != b"\r\n":
                raise ValueError("a chunk has another length than it says")
            if size == 0:
                return bytes(body), rest[2:]
            body += rest[:size]
            rest = rest[size + 2 :]


def _field(head: bytes, lower: bytes, named: bytes) -> bytes:
    """Find a header in a head, whose lines all end, by its lower-case twin; `named` is CR LF, name, colon.

    A dict of all headers would cost a call more than its signature does.
    """
    start = lower.find(named)
    if start < 0:
        return b""
    start += len(named)
    return head[start : head.index(b"\r\n", start)].strip()


def _number(digits: bytes) -> int:
    """Digits alone: int() would take signs, blanks and underscores too."""
    if not digits.isdigit():
        raise ValueError(f"a length or status was expected, not {digits[:20]!r}")
    return int(digits)


def _hexadecimal(digits: bytes) -> int:
    """The same for the length of a chunk."""
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError(f"a chunk's length was expected, not {digits[:20]!r}")
    return int(digits, 16)
