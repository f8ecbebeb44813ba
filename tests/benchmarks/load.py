"""Start one server, load it with `wrk`, read its CPU clock, stop it."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.benchmarks import clocks
from tests.benchmarks.part import Bench, Skipped

PEERS = Path(__file__).parent / "peers"
CONNECTIONS = 16
PORT = "{port}"


class Measured(NamedTuple):
    """One run of one server."""

    per_cpu_second: float
    per_second: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    start_cpu_ms: float


def run(
    command: list[str], folder: Path, path: str, body: object, key: str, bench: Bench, seconds: int
) -> Measured:
    """Start, warm up, measure, stop."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}{path}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "BENCH_MODEL": str(bench.model_file),
        "PYTHONPATH": str(PEERS),
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(bench.folder / "bentoml"),
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(_free_port()),
        "MLSERVER_METRICS_PORT": str(_free_port()),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
        "BENCH_BODY": json.dumps(body),
        "BENCH_KEY": key,
    }
    with (bench.folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(
            [argument.replace(PORT, str(port)) for argument in command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(process, url, environment)
        start_cpu_ms = clocks.tree_ns(process.pid) / 1e6
        _wrk(url, environment, 1)
        before = clocks.tree_ns(process.pid)
        count, per_second, p50, p99 = _wrk(url, environment, seconds)
        cpu = (clocks.tree_ns(process.pid) - before) / 1e9
        return Measured(count / cpu, per_second, p50, p99, clocks.tree_mb(process.pid), start_cpu_ms)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, environment: dict[str, str]) -> None:
    headers = {"content-type": "application/json", "x-api-key": environment["BENCH_KEY"]}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = httpx.post(url, content=environment["BENCH_BODY"], headers=headers, timeout=10)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200:
            return
        time.sleep(0.05)
    raise Skipped("it did not come up; see servers.log in the cache folder")


def _wrk(url: str, environment: dict[str, str], seconds: int) -> tuple[int, float, float, float]:
    """Requests answered, requests a second, median and 99th percentile of latency in ms."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(PEERS / "post.lua"),
        url,
    ]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    if failed := re.search(r"Non-2xx.*", text):
        raise Skipped(f"it refused calls: {failed[0]}")

    def found(pattern: str) -> str:
        match = re.search(pattern, text)
        assert match, text
        return match[1]

    return (
        int(found(r"(\d+) requests in")),
        float(found(r"Requests/sec:\s+([\d.]+)")),
        _milliseconds(found(r"\n\s+50%\s+(\S+)")),
        _milliseconds(found(r"\n\s+99%\s+(\S+)")),
    )


def _milliseconds(text: str) -> float:
    for unit, milliseconds in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * milliseconds
    raise ValueError(f"wrk says {text!r}: a time was expected")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server's whole session, which is of our making."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
