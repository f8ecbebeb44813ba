"""Lambda's Runtime API for one function process, which reads that process' CPU clock at each poll.

docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. A runtime client asks for the next event, posts
the answer and asks again: CPU time between two polls is what one call costs, all of it: the client's
own HTTP and JSON, the handler, what it logs. CPU time until the first poll is the cold start.
"""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from tests.benchmarks import clocks
from tests.benchmarks.cores import one_core

WARM_UP = 0.1  # of the calls are not counted
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 0f4e8a3a-7c1f-4b5e-9a55-1f2e3d4c5b6a\r\n"
    b"Lambda-Runtime-Deadline-Ms: 99999999999999\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:bench\r\n"
    b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
    b"Content-Length: %d\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class FunctionFailed(Exception):
    """The function ended, or answered with an error."""


class Run(NamedTuple):
    """One cold start and the calls after it. `answer` is what the first call was answered."""

    init_ms: float
    first_ms: float
    warm_us: float
    peak_mb: float
    answer: bytes


def run(command: list[str], environment: dict[str, str], folder: str, events: list[bytes], calls: int) -> Run:
    """Start the function, give it `calls` events in turn, read the clock at each poll, end it."""
    with started(command, environment, folder) as (pid, wire):
        polls, first_done, answer = _serve(wire, pid, events, calls)
        peak = clocks.peak_mb(pid)
    warm = polls[1 + int(calls * WARM_UP) :]
    between = [after - before for before, after in pairwise(warm)]
    return Run(polls[0] / 1e6, (first_done - polls[0]) / 1e6, median(between) / 1e3, peak, answer)


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], folder: str) -> Iterator[tuple[int, "Wire"]]:
    """A function's process, and what it asks; FunctionFailed with what it said if that goes wrong."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        host, port = listening.getsockname()
        with one_core():
            process = subprocess.Popen(
                command,
                env={**environment, "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"},
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        failure: Exception | None = None
        try:
            yield process.pid, Wire(listening)
        except (OSError, FunctionFailed) as error:
            failure = error
        finally:
            process.kill()
            said = process.communicate()[1].decode(errors="replace")
        if failure is not None:
            raise FunctionFailed(f"{failure}; it said: {said[-2000:]}") from failure


def _serve(wire: "Wire", pid: int, events: list[bytes], calls: int) -> tuple[list[int], int, bytes]:
    """CPU clock at each poll and after the first answer, and that answer."""
    polls: list[int] = []
    first_done, first_answer = 0, b""
    for number in range(calls + 1):
        wire.read(b"/next")
        polls.append(clocks.process_ns(pid))
        if number == calls:
            break
        answer = wire.call(events[number % len(events)])
        if number == 0:
            first_done, first_answer = clocks.process_ns(pid), answer
        wire.write(ACCEPTED)
    return polls, first_done, first_answer


class Wire:
    """Requests of the runtime client, which keeps its connection."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._connection: socket.socket | None = None
        self._data = b""

    def call(self, event: bytes) -> bytes:
        """Give an event to a client that has asked for one; its answer, which is not accepted yet."""
        self.write(HEAD % len(event) + event)
        return self.read(b"/response")

    def write(self, data: bytes) -> None:
        assert self._connection
        self._connection.sendall(data)

    def read(self, expected: bytes) -> bytes:
        """The body of the next request, whose path has to end as expected."""
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if found:
                fields = head.lower().split(b"\r\ncontent-length:")
                length = int(fields[1].split(b"\r\n")[0]) if len(fields) > 1 else 0
                if len(rest) >= length:
                    self._data = rest[length:]
                    path = head.split(b" ", 2)[1]
                    if not path.endswith(expected):
                        raise FunctionFailed(f"{expected!r} was expected, {path!r} came: {rest[:500]!r}")
                    return rest[:length]
            self._data += self._receive()

    def _receive(self) -> bytes:
        while True:
            if self._connection is None:
                self._connection, _ = self._listening.accept()
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connection.settimeout(60)
            if data := self._connection.recv(65536):
                return data
            self._connection, self._data = None, b""
