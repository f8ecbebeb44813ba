"""One S3 bucket: a Store for the functions, and the fast way to read what is large or many.

Requests are split-phase like DynamoDB's: several are under way at once on as many connections, and
nobody needs a thread. Each is sent again while that can help, so each must bear being sent twice:
reads do, and writes under a condition do, where the second may meet the first (AlreadyStored).

S3 tells a missing object from a forbidden one only to those who may list the bucket.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from os import urandom
from time import monotonic, sleep
from typing import NoReturn

from functions.aws.credentials import CredentialSource, CredentialsUnavailable, Identity
from functions.aws.service import EXPIRED, Rejected, Unavailable, service_endpoint
from functions.aws.sigv4 import Signer
from functions.aws.wire import Answer, Connection, ConnectionLost, Endpoint
from models.digests import sha256
from models.typed import Iterable, Iterator, Mapping

WINDOW = 12  # requests under way at once
RANGE = 8 * 1024 * 1024
SECONDS = 10.0  # for one try of one request
MAX_ATTEMPTS = 5
FIRST_PAUSE = 0.05
LOST = (409, 412)  # two conditional writes met; the condition did not hold
_STALE = {*EXPIRED, "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"}


class Bucket:
    """Objects below a prefix of one bucket. Implements models/store.py's Store; threads may share it.

    Unavailable where S3 gives no usable answer, Rejected where it refuses.
    """

    def __init__(self, name: str, region: str, prefix: str = "", identity: Identity | None = None) -> None:
        """`prefix` is "" or ends in a slash. `identity` is the environment's where none is given."""
        service = service_endpoint("s3", region)
        if service.host.startswith("s3."):  # an emulator or a private endpoint has no name a bucket
            self._endpoint, self._root = Endpoint(f"{name}.{service.host}"), "/"
        else:
            self._endpoint, self._root = service, f"/{name}/"
        self._prefix = prefix
        self._identity = identity or CredentialSource()
        self._signer = Signer("s3", region, self._endpoint.authority, self._identity.current)
        self._idle: list[Connection] = []

    def get(self, name: str) -> bytes:
        """Read one object, at most 64 MiB; NotInStore."""
        return self._read(name)[0]

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Read many objects, in their order, several at a time; NotInStore."""
        return self._pipelined((name, {}) for name in names)

    def get_large(self, name: str, size: int) -> bytes:
        """Read an object of a known size, in ranges, several at a time. NotInStore.

        What comes is not compared with anything: the caller has its hash.
        """
        last = size - 1
        ranges = ((start, min(start + RANGE - 1, last)) for start in range(0, size, RANGE))
        return b"".join(self._pipelined((name, {"range": f"bytes={a}-{b}"}) for a, b in ranges))

    def put(self, name: str, data: bytes) -> None:
        """Write on the condition that there is none of this name; AlreadyStored."""
        self._write(name, data, {"if-none-match": "*"})

    def swap(self, name: str, data: bytes, *, expected: bytes | None) -> None:
        """Replace an object that still holds `expected` (None: not there yet), else AlreadyStored."""
        if expected is None:
            return self.put(name, data)
        from models.store import NotInStore  # slow to import; no call of a customer comes here

        try:
            current, tag = self._read(name)
            if current == expected:
                return self._write(name, data, {"if-match": tag})
        except NotInStore:
            pass
        _already_stored(f"{name} was changed by someone else: read it again")

    def folders(self, prefix: str) -> list[str]:
        """What comes between `prefix` and the next slash in objects' names, each once, sorted."""
        found = self._listed(prefix, "CommonPrefixes", "Prefix", {"delimiter": "/"})
        return sorted(name.removeprefix(prefix).rstrip("/") for name in found)

    def list(self, prefix: str) -> list[str]:
        """Names of all objects that start with `prefix`, sorted."""
        return sorted(self._listed(prefix, "Contents", "Key", {}))

    def borrow(self) -> Connection:
        """An idle connection or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return Connection(self._endpoint)

    def give_back(self, connection: Connection) -> None:
        """Make a connection idle, now that its answer was read."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def renounce(self) -> None:
        """Sign with other credentials from now on, if there are any."""
        if stale := self._signer.forget():
            self._identity.renounce(stale)

    def sign(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> bytes:
        """A whole request."""
        named = {**headers, "content-length": str(len(body))}
        return self._signer.request(method, path, query.items(), named, sha256(body).hexdigest()) + body

    def _pipelined(self, asked: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[bytes]:
        under_way: deque[tuple[str, _Exchange]] = deque()
        for name, headers in asked:
            under_way.append((name, self._start("GET", self._path(name), headers=headers)))
            if len(under_way) == WINDOW:
                yield self._checked(*under_way.popleft()).body
        while under_way:
            yield self._checked(*under_way.popleft()).body

    def _listed(self, prefix: str, kind: str, member: str, query: Mapping[str, str]) -> Iterator[str]:
        from xml.etree.ElementTree import fromstring  # slow, and not for the hot path

        query = {"list-type": "2", "prefix": self._prefix + prefix, **query}
        while True:
            answer = self._checked("", self._start("GET", self._root, query=query))
            page = fromstring(answer.body)  # noqa: S314 (S3 wrote it)
            space = page.tag.removesuffix("ListBucketResult")
            for found in page.iterfind(f"{space}{kind}/{space}{member}"):
                yield (found.text or "").removeprefix(self._prefix)
            token = page.findtext(f"{space}NextContinuationToken")
            if not token:
                return
            query = {**query, "continuation-token": token}

    def _read(self, name: str) -> tuple[bytes, str]:
        answer = self._checked(name, self._start("GET", self._path(name)))
        return answer.body, answer.header("etag")

    def _write(self, name: str, data: bytes, condition: Mapping[str, str]) -> None:
        self._checked(name, self._start("PUT", self._path(name), headers=condition, body=data))

    def _path(self, name: str) -> str:
        return f"{self._root}{self._prefix}{name}"

    def _start(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> _Exchange:
        return _Exchange(self, method, path, query or {}, headers or {}, body)

    def _checked(self, name: str, exchange: _Exchange) -> Answer:
        answer = exchange.answer()
        if answer.status in (200, 204, 206):
            return answer
        if answer.status in LOST:
            _already_stored(name)
        code = error_code(answer)
        if code == "NoSuchKey":
            from models.store import NotInStore  # slow to import, and told of what is missing only

            raise NotInStore(name)
        raise Rejected(code or f"HTTP status {answer.status}", {"message": f"S3, {name}"})


class _Exchange:
    """One request under way."""

    def __init__(
        self,
        bucket: Bucket,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self._bucket = bucket
        self._request = (method, path, query, headers, body)
        self._connection: Connection | None = None
        with suppress(ConnectionLost, CredentialsUnavailable):  # answer() tries again, and then reports it
            self._send()

    def answer(self) -> Answer:
        """S3's answer, be it an error; Unavailable."""
        failure: Exception | str = ""
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                sleep(FIRST_PAUSE * 2**attempt * (urandom(1)[0] + 1) / 256)
            try:
                if self._connection is None:
                    self._send()
                answer = self._receive()
            except (ConnectionLost, CredentialsUnavailable) as error:
                failure, self._connection = error, None
                self._bucket.close()  # what killed one idle socket has killed its neighbours
                continue
            if answer.status < 400 or answer.status in LOST:
                return answer
            code = error_code(answer)
            if code in _STALE:
                self._bucket.renounce()
            elif answer.status < 500 and code not in ("SlowDown", "RequestTimeout"):
                return answer
            failure = code or f"HTTP status {answer.status}"
        raise Unavailable(f"S3 gave no usable answer to {self._request[0]} {self._request[1]}: {failure}")

    def _send(self) -> None:
        request = self._bucket.sign(*self._request)
        connection = self._bucket.borrow()
        connection.send(request, monotonic() + SECONDS)
        self._connection = connection

    def _receive(self) -> Answer:
        assert self._connection is not None
        answer = self._connection.receive(monotonic() + SECONDS)
        self._bucket.give_back(self._connection)
        self._connection = None
        return answer


def error_code(answer: Answer) -> str:
    """The code in S3's XML error, "" where there is none."""
    _, _, rest = answer.body.partition(b"<Code>")
    return rest.partition(b"</Code>")[0][:100].decode("ascii", "replace")


def _already_stored(what: str) -> NoReturn:
    from models.store import AlreadyStored  # slow to import, and never needed by a reader

    raise AlreadyStored(what)
