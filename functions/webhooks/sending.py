"""One POST to an address that a stranger chose: to public addresses only, over TLS, and nowhere else.

The name is resolved once. Every address it has must be public, and the connection goes to one that was
looked at, under the original name for TLS and Host: so no second answer of a name server can lead it
elsewhere. Redirects are not followed; of the answer only its status is used.

PAYPHONE_WEBHOOKS_ALLOW_PRIVATE=1 lifts both, for receivers on this machine while one tries things out.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer
from typing import NamedTuple
from urllib.parse import urlsplit

ALLOW_PRIVATE = "PAYPHONE_WEBHOOKS_ALLOW_PRIVATE"
SECONDS = 10.0  # for each wait
SECONDS_IN_ALL = 20.0  # so that one who answers byte by byte holds nobody up
NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(ValueError):
    """Webhooks may not go there; the message says why."""


class Sent(NamedTuple):
    """What came of an attempt: the HTTP status, 0 where none came, and in words."""

    status: int
    said: str

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status < 300


def check_url(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL that webhooks may go to; ForbiddenAddress. Looks no name up."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    schemes = ("https", "http") if private_allowed() else ("https",)
    if parts.scheme not in schemes or not host:
        raise ForbiddenAddress("an https:// URL with a host was expected")
    if parts.username or parts.password or parts.fragment or not url.isascii() or not url.isprintable():
        raise ForbiddenAddress("a URL without user, password or fragment was expected, in ASCII")
    if _is_literal(host) and not private_allowed() and not is_public(ipaddress.ip_address(host)):
        raise ForbiddenAddress(f"{host} is not a public address")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def private_allowed() -> bool:
    """Whether receivers on this machine and its network are let through."""
    return os.environ.get(ALLOW_PRIVATE) == "1"


def resolve(host: str, port: int) -> str:
    """The address to connect to: the first, once all of them are public. ForbiddenAddress, OSError."""
    found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not private_allowed():
        for text in found:
            if not is_public(ipaddress.ip_address(str(text).partition("%")[0])):
                raise ForbiddenAddress(f"{host} leads to {text}, which is not a public address")
    return str(found[0])


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:  # a name, which is looked up when something is sent to it
        return False
    return True


def is_public(address: Address) -> bool:
    """Whether an address is anybody's on the Internet, also seen through what carries IPv4 in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64 or address in LOCAL_NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)) and address in NAT64
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(inner is not None and not is_public(inner) for inner in inside):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def post(url: str, body: bytes, headers: Mapping[str, str], trusted: ssl.SSLContext | None = None) -> Sent:
    """Send it once. Never raises for what the receiver or the network does."""
    try:
        scheme, host, port = check_url(url)
        connection = _Pinned(host, port, resolve(host, port), trusted if scheme == "https" else None)
        if scheme == "https" and trusted is None:
            connection.context = ssl.create_default_context()
    except ForbiddenAddress as error:
        return Sent(0, str(error))
    except (OSError, UnicodeError) as error:
        return Sent(0, f"the name can't be resolved: {error}")
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"content-type": "application/json", "user-agent": "payphone-webhooks", **headers}
    deadline = Timer(SECONDS_IN_ALL, connection.break_off)
    deadline.start()
    try:
        connection.request("POST", target, body, sent)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return Sent(0, f"no answer: {type(error).__name__}")
    else:
        return Sent(answer.status, f"HTTP status {answer.status}")
    finally:
        deadline.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to one address under a host's name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self.default_port = 443 if context else 80
        self.context = context
        self._address = address
        self._plain: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the address that was looked at."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self._plain = plain
        self.sock = self.context.wrap_socket(plain, server_hostname=self.host) if self.context else plain

    def break_off(self) -> None:
        """End whatever the connection waits for; from another thread."""
        for each in (self.sock, self._plain):
            with suppress(OSError):
                if each is not None:
                    each.shutdown(socket.SHUT_RDWR)
