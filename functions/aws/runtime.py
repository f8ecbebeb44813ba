"""Lambda's Runtime API: ask for an event, answer it, ask again, for as long as the sandbox lives.

docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. It stands in for AWS' own client, awslambdaric,
whose imports are most of a small function's cold start and whose work is half of its calls
(docs/hot-path.md has the figures): Lambda starts the script `start` (layers/bundle.py) in its place
where AWS_LAMBDA_EXEC_WRAPPER names it. It does what a function behind a gateway needs: no client context,
no tracing, no snapshots.
"""

from __future__ import annotations

import os
import sys

from functions.aws.stream import NEVER
from functions.aws.wire import Answer, Connection, ConnectionLost, split_url
from functions.frames import frames_of
from models.strict_json import dumps, loads
from models.typed import Any, Callable, NamedTuple

API = "/2018-06-01/runtime"
AGENT = "payphone"
# Besides 202: Lambda has it and can't use it (the answer is too late, or too large), has told the caller so,
# and has the next event for this sandbox all the same.
TAKEN = (202, 410, 413)
# What it says of an answer that it has already: the receipt of the first was lost on the way.
REPEATED = (400, 403)


class RuntimeApiError(Exception):
    """Lambda refused what was asked of it: the sandbox has to end."""


class Invocation(NamedTuple):
    """One event, as JSON, and what names it in its answer."""

    request_id: str
    invocation_id: str
    event: bytes


class RuntimeApi:
    """The Runtime API at an address like 127.0.0.1:9001."""

    def __init__(self, address: str) -> None:
        endpoint, _ = split_url(f"http://{address}")
        self._connection = Connection(endpoint)
        headers = f"Host: {endpoint.authority}\r\nUser-Agent: {AGENT}\r\n"
        self._next = f"GET {API}/invocation/next HTTP/1.1\r\n{headers}\r\n".encode()
        self._headers = f"{headers}Content-Type: application/json\r\n"

    def next(self) -> Invocation:
        """Wait for an event."""
        answer, _ = self._ask(self._next)
        if answer.status != 200:
            raise RuntimeApiError(f"Lambda gave no event: HTTP status {answer.status}")
        return Invocation(
            answer.header("lambda-runtime-aws-request-id"),
            answer.header("lambda-runtime-invocation-id"),
            answer.body,
        )

    def answer(self, invocation: Invocation, document: str) -> None:
        """Answer an event with JSON."""
        self._post(f"invocation/{invocation.request_id}/response", document, _named(invocation))

    def fail(self, invocation: Invocation, failure: str) -> None:
        """Say that an event could not be answered, and why, as `failure_of` has it."""
        self._post(f"invocation/{invocation.request_id}/error", failure, _named(invocation))

    def fail_to_start(self, failure: str) -> None:
        """Say that the function can't be started. The process has to end after that."""
        self._post("init/error", failure, "Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\n")

    def _post(self, path: str, document: str, more: str) -> None:
        body = document.encode()
        head = f"POST {API}/{path} HTTP/1.1\r\n{self._headers}{more}Content-Length: {len(body)}\r\n\r\n"
        answer, again = self._ask(head.encode() + body)
        if answer.status not in TAKEN and not (again and answer.status in REPEATED):
            raise RuntimeApiError(f"Lambda did not take {path}: HTTP status {answer.status}")

    def _ask(self, request: bytes) -> tuple[Answer, bool]:
        """Send and receive; once more, on a new connection, where the kept one turns out to be dead."""
        try:
            self._connection.send(request, NEVER)
            return self._connection.receive(NEVER), False
        except ConnectionLost:
            self._connection.send(request, NEVER)
            return self._connection.receive(NEVER), True


def failure_of(error: Exception, message: str = "") -> str:
    """What Lambda and its log are told of an error, as one line of JSON: its message only if it is given."""
    kind = type(error).__name__
    told = {"errorType": kind, "errorMessage": message or kind, "stackTrace": frames_of(error)}
    return dumps({"level": "ERROR", **told})


def serve(api: RuntimeApi, handler: Callable[[Any, None], Any]) -> None:
    """Answer events until the process is ended; ConnectionLost or RuntimeApiError if Lambda is lost."""
    while True:
        invocation, failure = api.next(), ""
        try:
            document = dumps(handler(loads(invocation.event), None))
        except Exception as error:
            failure = failure_of(error)  # its message may hold what the caller sent
        # Outside of it, or an error on the way to Lambda would be shown together with that message.
        if failure:
            _log(failure)
            api.fail(invocation, failure)
        else:
            api.answer(invocation, document)


def main(load: Callable[[], Callable[[Any, None], Any]]) -> None:
    """Serve the handler that `load` imports, at the address in AWS_LAMBDA_RUNTIME_API."""
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load()
    except Exception as error:
        failure = failure_of(error, str(error))
        _log(failure)
        api.fail_to_start(failure)
        sys.exit(1)
    serve(api, handler)


def _named(invocation: Invocation) -> str:
    """The header by which Lambda tells an answer that comes too late from the next one."""
    given = invocation.invocation_id
    return f"Lambda-Runtime-Invocation-Id: {given}\r\n" if given else ""


def _log(failure: str) -> None:
    try:  # noqa: SIM105  contextlib is a slow import
        os.write(2, f"{failure}\n".encode())
    except OSError:
        pass  # what failed is told all the same
