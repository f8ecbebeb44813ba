"""One TCP connection, with or without TLS, on the interpreter's own C modules.

The modules `socket` and `ssl` around them build enumerations of some 700 names when imported, 6 ms of
every cold start, and calls that cost more than the signature of a request. What protects a
connection is in C and in OpenSSL: certificate and host name are checked unless one asks for less.

Deadlines are instants of `time.monotonic()`, or NEVER. Looking up a host name is the one step that they don't
bound: the C library has no timeout for it but its own.
"""

from __future__ import annotations

import _socket
from _ssl import SSLCertVerificationError
from time import monotonic

from functions.aws.trust import trusted

CHUNK = 64 * 1024
NEVER = 1e10  # a deadline: waiting takes no system call to see whether it has passed


class _Socket(_socket.socket):
    """TLS keeps a weak reference to the socket below it."""

    __slots__ = ("__weakref__",)


class Stream:
    """An open connection. Whatever fails is an OSError, a deadline that has passed included."""

    __slots__ = ("_read", "_seconds", "_socket", "_write")

    def __init__(self, host: str, port: int, deadline: float, *, tls: bool) -> None:
        """Connect to the first address of `host` that takes the connection, then shake hands."""
        self._socket: _Socket
        self._seconds: float
        self._connect(host, port, deadline)
        try:
            if tls:
                try:
                    self._secure(host, deadline, all_roots=False)
                except SSLCertVerificationError:
                    self._socket.close()
                    self._connect(host, port, deadline)
                    self._secure(host, deadline, all_roots=True)
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of `data`."""
        self._wait_until(deadline)
        sent = self._write(data)
        while sent < len(data):  # TLS takes 16 kB at a time
            self._wait_until(deadline)
            sent += self._write(data[sent:])

    def receive(self, deadline: float) -> bytes:
        """What has come, a byte of it at least; b"" at its end."""
        self._wait_until(deadline)
        return self._read(CHUNK)

    def close(self) -> None:
        """Let go of it, without TLS's farewell: an answer is complete by its length."""
        self._socket.close()

    def _wait_until(self, deadline: float) -> None:
        if deadline == NEVER:
            if self._seconds != NEVER:
                self._seconds = NEVER
                self._socket.settimeout(None)
            return
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        # A system call, spared where what was set before is a little shorter than what is left.
        if not 0.8 * left < self._seconds <= left:
            self._seconds = 0.9 * left
            self._socket.settimeout(self._seconds)

    def _connect(self, host: str, port: int, deadline: float) -> None:
        failure = OSError(f"{host} has no address")
        # As bytes, or Python would load its codec for international names.
        found = _socket.getaddrinfo(host.encode("ascii"), port, 0, _socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            self._seconds = 0.0
            self._socket = _Socket(family, kind, protocol)
            try:
                self._wait_until(deadline)
                self._socket.connect(address)
                self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            except OSError as error:
                self._socket.close()
                failure = error
            else:
                self._read, self._write = self._socket.recv, self._socket.send
                return
        raise failure

    def _secure(self, host: str, deadline: float, *, all_roots: bool) -> None:
        self._wait_until(deadline)
        secured = trusted(all_roots=all_roots)._wrap_socket(self._socket, False, host)  # type: ignore[attr-defined]
        secured.do_handshake()
        self._read, self._write = secured.read, secured.write
