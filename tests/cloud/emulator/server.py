"""Start the local AWS on a free port of 127.0.0.1, and stop it again by its process id.

with running(prepare()) as aws: ...                    in a session fixture
python tests/cloud/emulator/server.py                  prints the endpoint, ends when its stdin closes;
                                                       so `payphone quickstart --cloud` runs it
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from provision import Tools

from infra import local_aws
from infra.local_aws import REGION

ACCOUNT = "000000000000"
START_SECONDS = 60


class LocalAws(NamedTuple):
    """A running emulator."""

    endpoint: str
    pid: int
    log: Path
    tools: Tools

    def environment(self) -> dict[str, str]:
        """The variables with which an SDK or the CDK CLI talks to it, over this process' own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **local_aws.environment(self.endpoint),
            "PATH": f"{self.tools.node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def url(self, api: str, stage: str) -> str:
        """Where a REST API's stage answers."""
        return f"{self.endpoint}/restapis/{api}/{stage}/_user_request_"


@contextlib.contextmanager
def running(tools: Tools, *, enforce_iam: bool = False) -> Iterator[LocalAws]:
    """A local AWS for as long as the block runs; its folder and its functions go with it.

    With `enforce_iam` every request is checked against the policies of whoever signed it.
    """
    with tempfile.TemporaryDirectory(prefix="local-aws-") as folder:
        port, log = free_port(), Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [tools.emulator_python, Path(__file__).with_name("main.py")],
                env=_environment(tools, port, folder, enforce_iam),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait(endpoint, process, log)
            yield LocalAws(endpoint, process.pid, log, tools)
        finally:
            _stop(process)


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(tools: Tools, port: int, folder: str, enforce_iam: bool) -> dict[str, str]:
    # An AWS variable of the host (its endpoint, its certificates) would leak into the emulator's own calls.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    return {
        **kept,
        "AUTH": str(enforce_iam).lower(),
        "BIND_HOST": "127.0.0.1",  # its default is every interface
        "EMULATOR_LAMBDA_PYTHON": str(tools.lambda_python),
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": REGION,
        "TMPDIR": folder,
    }


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"the local AWS did not start:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the emulator, then whatever its functions left in its process group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    from provision import prepare

    with running(prepare()) as aws:
        sys.stdout.write(f"{aws.endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()  # until whoever started us lets go, or dies
