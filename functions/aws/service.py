"""An AWS JSON service: calls that are signed, sent, and sent again while it can still help.

A call is started, which sends it, and answered later. Until its answer was read its connection
belongs to it alone; then it goes back to the idle ones, of which a Lambda has one and a threaded server
as many as it had calls at once. What is sent may be sent twice, so every call must bear that:
reads, and writes under a condition.

Sent again, with jittered pauses and on a new connection where the old one failed: what the service
throttled or broke on, what got lost on a socket that died while the sandbox was frozen, what was signed
with expired credentials or by a clock that is off.
"""

from __future__ import annotations

from os import environ, urandom
from time import monotonic, sleep, time

from functions.aws.credentials import CredentialSource, CredentialsUnavailable, Identity
from functions.aws.sigv4 import Signer
from functions.aws.wire import Answer, Connection, ConnectionLost, Endpoint, split_url
from models.strict_json import loads
from models.typed import Any

MAX_ATTEMPTS = 6
FIRST_PAUSE = 0.025
THROTTLED = {
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionConflictException",
    "TransactionInProgressException",
}
EXPIRED = {"ExpiredTokenException", "UnrecognizedClientException"}
MISTIMED = {"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
TOLERATED_SKEW = 60


class Unavailable(Exception):
    """The service gave no usable answer in time."""


class Rejected(Exception):
    """The service answered with an error that sending again can't mend; `details` is its JSON."""

    def __init__(self, code: str, details: dict[str, Any]) -> None:
        # A signature error's message repeats what was signed, the session token included.
        message = "" if code in MISTIMED else str(details.get("message") or details.get("Message") or "")
        super().__init__(f"{code}: {message[:300]}" if message else code)
        self.code, self.details = code, details


class JsonService:
    """One service in one region. Threads may share it."""

    def __init__(self, name: str, region: str, api: str, identity: Identity | None = None) -> None:
        """`name` is as in a host name, `api` the target's prefix, like DynamoDB_20120810.

        `identity` is the environment's where none is given.
        AWS_ENDPOINT_URL_<NAME> and AWS_ENDPOINT_URL lead to an emulator or a private endpoint.
        """
        self.endpoint = service_endpoint(name, region)
        self.credentials: Identity = identity or CredentialSource()
        self.signer = Signer(name, region, self.endpoint.authority, self.credentials.current)
        self._api = api
        self._idle: list[Connection] = []

    def start(self, operation: str, body: bytes, seconds: float) -> Call:
        """Send a call that may wait for `seconds` in all, what the caller does in between not counted.

        It never raises for what went wrong on the way: `Call.answer` does.
        """
        return Call(self, f"{self._api}.{operation}", body, seconds)

    def connect(self, seconds: float) -> None:
        """Open a connection ahead of the first call; Unavailable if there is none to be had."""
        connection = self.borrow()
        try:
            connection.connect(monotonic() + seconds)
        except ConnectionLost as error:
            raise Unavailable(str(error)) from error
        self.give_back(connection)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self.borrow().close()

    def borrow(self) -> Connection:
        """An idle connection, the one used last, or a new one. Taking from a list is atomic."""
        try:
            return self._idle.pop()
        except IndexError:
            return Connection(self.endpoint)

    def give_back(self, connection: Connection) -> None:
        """Make a connection idle, now that its answer was read."""
        self._idle.append(connection)


class Call:
    """One call under way. Dropping it closes its connection, so nobody reads its answer."""

    def __init__(self, service: JsonService, target: str, body: bytes, seconds: float) -> None:
        self._service, self._target, self._body = service, target, body
        self._connection: Connection | None = None
        started = monotonic()
        try:  # noqa: SIM105  suppress() is two calls more, on each call
            self._send(started + seconds / 2)
        except (ConnectionLost, CredentialsUnavailable):
            pass  # answer() tries again, and then reports it
        self.seconds_left = started + seconds - monotonic()

    def answer(self) -> bytes:
        """The JSON of the service's answer; Unavailable or Rejected."""
        deadline = monotonic() + self.seconds_left
        failure: Exception | str = "no time was left"
        try:
            for attempt in range(MAX_ATTEMPTS):
                # Each attempt gets half of what is left: one lost on a dead socket leaves time for another.
                half = (monotonic() + deadline) / 2
                try:
                    if self._connection is None:
                        self._send(half)
                    answer = self._receive(half)
                except (ConnectionLost, CredentialsUnavailable) as error:
                    failure, mended = error, attempt == 0
                    self._connection = None
                    self._service.close()  # what killed one idle socket has killed its neighbours
                else:
                    if answer.status == 200:
                        return answer.body
                    details = _details(answer)
                    code = str(details.get("__type", "")).rpartition("#")[2]
                    mended = self._mend(code, answer)
                    if not mended and answer.status < 500 and code not in THROTTLED:
                        raise Rejected(code or f"HTTP status {answer.status}", details)
                    failure = code or f"HTTP status {answer.status}"
                if not mended and not _pause(attempt, deadline):
                    break
            raise Unavailable(f"{self._target} had no usable answer in time: {failure}")
        finally:
            self.seconds_left = deadline - monotonic()

    def _send(self, deadline: float) -> None:
        request = self._service.signer.post(self._target, self._body)
        connection = self._service.borrow()
        connection.send(request, deadline)
        self._connection = connection

    def _receive(self, deadline: float) -> Answer:
        assert self._connection is not None
        answer = self._connection.receive(deadline)
        self._service.give_back(self._connection)
        self._connection = None
        return answer

    def _mend(self, code: str, answer: Answer) -> bool:
        """Mend what made AWS refuse the signature, if it was the credentials or the clock."""
        signer = self._service.signer
        if code in EXPIRED:
            stale = signer.forget()
            if stale is None:  # another thread was here just now
                return True
            self._service.credentials.renounce(stale)
            try:
                return self._service.credentials.current() != stale
            except CredentialsUnavailable:
                return False
        if code in MISTIMED:
            from email.utils import parsedate_to_datetime  # slow, and rarely needed

            try:
                skew = parsedate_to_datetime(answer.header("date")).timestamp() - time()
            except ValueError:
                return False
            off = abs(skew - signer.skew) > TOLERATED_SKEW
            if off:
                signer.skew = skew
            return off
        return False


def dynamodb_in(region: str, identity: Identity | None = None) -> JsonService:
    """DynamoDB in a region. What shares it shares its connections, each of which costs a handshake."""
    return JsonService("dynamodb", region, "DynamoDB_20120810", identity)


def parameters_in(region: str, identity: Identity | None = None) -> JsonService:
    """Systems Manager in a region, for its parameters."""
    return JsonService("ssm", region, "AmazonSSM", identity)


def service_endpoint(name: str, region: str) -> Endpoint:
    """Where a service listens in a region; ValueError for an override that is no plain endpoint."""
    for variable in (f"AWS_ENDPOINT_URL_{name.upper()}", "AWS_ENDPOINT_URL"):
        if url := environ.get(variable):
            endpoint, path = split_url(url)
            if path != "/":
                raise ValueError(f"{variable} ends in {path!r}: http(s)://host[:port] was expected")
            return endpoint
    return Endpoint(f"{name}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}")


def _details(answer: Answer) -> dict[str, Any]:
    try:
        details = loads(answer.body)
    except ValueError:
        return {}
    return details if isinstance(details, dict) else {}


def _pause(attempt: int, deadline: float) -> bool:
    """Wait before the next attempt, up to twice as long as before the last; False if there is no time."""
    pause = FIRST_PAUSE * 2**attempt * (urandom(1)[0] + 1) / 256
    if attempt + 1 == MAX_ATTEMPTS or monotonic() + pause >= deadline:
        return False
    sleep(pause)
    return True
