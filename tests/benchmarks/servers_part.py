"""Servers: ours with keys, limits and a durable ledger, beside those that people serve a model with.

One process with one worker each, the same model, the same machine, one `wrk` with 16 connections. What
counts is requests a CPU second of the server's process tree: the load generator shares the machine, so
requests a second would measure that too. Each round starts every server anew, in turn.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx

from infra.plans import publish_plans
from infra.service import load
from tests.benchmarks import clocks, iris
from tests.benchmarks.part import Bench, Part, Skipped, Table

PEERS = Path(__file__).parent / "peers"
CONNECTIONS = 16
SECONDS = {"quick": 1, "full": 4}
ROUNDS = {"quick": 1, "full": 3}
PORT = "{port}"
SERVICE = """
[service]
name = "Benchmark"
currency = "USD"
[models]
serve = ["iris"]
[plans.metered]
price_per_call = 0.002
rate = 1_000_000
burst = 1_000_000
quota = 1_000_000_000
"""
UVICORN = ("-m", "uvicorn", "--host", "127.0.0.1", "--port", PORT, "--no-access-log", "--log-level", "warning")
ROW = {"measures": iris.ROW}
V2 = {"inputs": [{"name": "measures", "shape": [1, 4], "datatype": "FP32", "data": iris.ROW}]}


class Server(NamedTuple):
    """How a peer is started and asked. `lock` names its environment; "" is Payphone's own."""

    title: str
    lock: str
    arguments: tuple[str, ...]
    path: str = "/predict"
    body: object = ROW
    folder: str = "."
    ratio: str = ""


# The first is the yardstick.
SERVERS = (
    Server("FastAPI `def` on uvicorn", "", (*UVICORN, "fastapi_def:app"), ratio="server_vs_fastapi"),
    Server("FastAPI `async def` on uvicorn", "", (*UVICORN, "fastapi_async:app")),
    Server("LitServe", "bench-litserve", ("litserve_app.py", PORT), ratio="server_vs_litserve"),
    Server(
        "BentoML",
        "bench-bentoml",
        ("-m", "bentoml", "serve", "bentoml_app:Iris", "--host", "127.0.0.1", "--port", PORT),
        ratio="server_vs_bentoml",
    ),
    Server(
        "MLServer",
        "bench-mlserver",
        ("-m", "mlserver", "start", "mlserver"),
        "/v2/models/iris/infer",
        V2,
        ratio="server_vs_mlserver",
    ),
)
OURS = "Payphone: keys, throttle, quota, durable ledger, access log"


class Measured(NamedTuple):
    """One run of one server."""

    per_cpu_second: float
    per_second: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    start_cpu_ms: float


def measure(bench: Bench) -> Part:
    """Run every server once a round; ratios are medians over rounds."""
    if not shutil.which("wrk"):
        raise Skipped("wrk is not installed: `apt-get install wrk` (Debian, Ubuntu) puts it there")
    mode = "quick" if bench.quick else "full"
    runs: dict[str, list[Measured]] = {}
    missing: dict[str, str] = {}
    for _ in range(ROUNDS[mode]):
        bench.step(OURS)
        runs.setdefault(OURS, []).append(_ours(bench, SECONDS[mode]))
        for server in SERVERS:
            if server.title in missing:
                continue
            bench.step(server.title)
            try:
                runs.setdefault(server.title, []).append(_peer(bench, server, SECONDS[mode]))
            except Skipped as reason:
                missing[server.title] = str(reason)
    return _part(runs, missing)


def _part(runs: dict[str, list[Measured]], missing: dict[str, str]) -> Part:
    rows = []
    for title, measured in runs.items():
        ratio = _ratio(runs, OURS, title)
        middle = [median(column) for column in zip(*measured, strict=True)]
        rows.append((title, *(f"{value:,.4g}" for value in middle), f"{ratio:.2f}"))
    rows += [(title, *["–"] * 6, reason) for title, reason in missing.items()]
    ratios: dict[str, float | str] = {
        server.ratio: missing.get(server.title) or _ratio(runs, OURS, server.title)
        for server in SERVERS
        if server.ratio
    }
    columns = ("server", "requests a CPU s", "requests a s", "p50 ms", "p99 ms", "MB", "start, CPU ms", "Payphone ×")
    return Part([Table("Servers", columns, rows)], ratios)


def _ratio(runs: dict[str, list[Measured]], ours: str, theirs: str) -> float:
    pairs = zip(runs[ours], runs[theirs], strict=True)
    return median(one.per_cpu_second / other.per_cpu_second for one, other in pairs)


def _ours(bench: Bench, seconds: int) -> Measured:
    workspace = bench.workspace()
    service = workspace.root / "service.toml"
    service.write_text(SERVICE)
    publish_plans(load(service), workspace)
    keys = workspace.keys()
    key, _ = keys.issue("cus_0000000000000001", "metered")
    keys.close()
    command = [sys.executable, "-c", "from infra.cli.main import app; app()"]
    command += ["--state", str(workspace.root), "--service", str(service), "serve", "--port", PORT]
    return _run(command, bench.root, "/v1/models/iris/predict", {"instances": [iris.ROW]}, key, bench, seconds)


def _peer(bench: Bench, server: Server, seconds: int) -> Measured:
    python = bench.environment(server.lock) if server.lock else Path(sys.executable)
    folder = PEERS
    return _run([str(python), *server.arguments], folder, server.path, server.body, "none", bench, seconds)


def _run(
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
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(PEERS / "post.lua"), url]
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
        _milliseconds(found(r"50%\s+(\S+)")),
        _milliseconds(found(r"99%\s+(\S+)")),
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


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
