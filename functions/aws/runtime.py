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
from models.typed import Any, Callable

API = "/2018-06-01/runtime"
AGENT = "payphone"
ACCEPTED = 202
TOO_LARGE = 413  # Lambda has told the caller, and has the next event for this sandbox all the same


class RuntimeApiError(Exception):
    """Lambda refused what was asked of it, or is not there: the sandbox has to end."""


class RuntimeApi:
    """The Runtime API at an address like 127.0.0.1:9001."""

    def __init__(self, address: str) -> None:
        endpoint, _ = split_url(f"http://{address}")
        self._connection = Connection(endpoint)
        headers = f"Host: {endpoint.authority}\r\nUser-Agent: {AGENT}\r\n"
        self._next = f"GET {API}/invocation/next HTTP/1.1\r\n{headers}\r\n".encode()
        self._headers = f"{headers}Content-Type: application/json\r\n"

    def next(self) -> tuple[str, bytes]:
        """Wait for an event: its request id and its JSON."""
        answer = self._ask(self._next)
        if answer.status != 200:
            raise RuntimeApiError(f"Lambda gave no event: HTTP status {answer.status}")
        return answer.header("lambda-runtime-aws-request-id"), answer.body

    def answer(self, request_id: str, document: str) -> None:
        """Answer an event with JSON."""
        self._post(f"invocation/{request_id}/response", document)

    def fail(self, request_id: str, failure: str) -> None:
        """Say that an event could not be answered, and why, as `failure_of` has it."""
        self._post(f"invocation/{request_id}/error", failure)

    def fail_to_start(self, failure: str) -> None:
        """Say that the function can't be started. The process has to end after that."""
        self._post("init/error", failure)

    def _post(self, path: str, document: str) -> None:
        body = document.encode()
        head = f"POST {API}/{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        answer = self._ask(head.encode() + body)
        if answer.status not in (ACCEPTED, TOO_LARGE):
            raise RuntimeApiError(f"Lambda did not take {path}: HTTP status {answer.status}")

    def _ask(self, request: bytes) -> Answer:
        """Send and receive; once more, on a new connection, where the kept one turns out to be dead."""
        try:
            self._connection.send(request, NEVER)
            return self._connection.receive(NEVER)
        except ConnectionLost:
            self._connection.send(request, NEVER)
            return self._connection.receive(NEVER)


def failure_of(error: Exception, message: str) -> str:
    """What Lambda and its log are told of an error, as one line of JSON."""
    kind = type(error).__name__
    return dumps({"errorType": kind, "errorMessage": message or kind, "stackTrace": frames_of(error)})


def serve(api: RuntimeApi, handler: Callable[[Any, None], Any]) -> None:
    """Answer events until the process is ended; ConnectionLost or RuntimeApiError if Lambda is lost."""
    while True:
        request_id, event = api.next()
        try:
            document = dumps(handler(loads(event), None))
        except Exception as error:
            failure = failure_of(error, "")  # its message may hold what the caller sent
            _log(failure)
            api.fail(request_id, failure)
        else:
            api.answer(request_id, document)


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


def _log(failure: str) -> None:
    os.write(2, f"{failure}\n".encode())
