"""Servers: ours with keys, limits and a durable ledger, beside those that people serve a model with.

One process with one worker each, the same model, the same machine, one `wrk` with 16 connections. What
counts is requests a CPU second of the server's process tree: the load generator shares the machine, so
requests a second would measure that too. Each round starts every server anew, in turn. All requests of a
run are the same, as those of a client on a kept connection are but for their bodies; what that is worth to
Payphone, which parses such a head once, is in hot-path.md.
"""

import shutil
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from infra.plans import publish_plans
from infra.service import load
from tests.benchmarks import iris
from tests.benchmarks.load import PEERS, PORT, Measured, run
from tests.benchmarks.part import Bench, Part, Skipped, Table

SECONDS = {"quick": 1, "full": 4}
ROUNDS = {"quick": 1, "full": 3}
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
UVICORN = (
    "-m",
    "uvicorn",
    "--host",
    "127.0.0.1",
    "--port",
    PORT,
    "--no-access-log",
    "--log-level",
    "warning",
)
ROW = {"measures": iris.ROW}
V2 = {"inputs": [{"name": "measures", "shape": [1, 4], "datatype": "FP32", "data": iris.ROW}]}


class Server(NamedTuple):
    """How a peer is started and asked. `lock` names its environment; "" is Payphone's own."""

    title: str
    lock: str
    arguments: tuple[str, ...]
    path: str = "/predict"
    body: object = ROW
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
        ("-c", "from mlserver.cli import main; main()", "start", "mlserver_model"),
        "/v2/models/iris/infer",
        V2,
        ratio="server_vs_mlserver",
    ),
)
OURS = "Payphone: keys, throttle, quota, durable ledger, access log"
FIGURES = tuple(server.ratio for server in SERVERS if server.ratio)


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
                measured = _peer(bench, server, SECONDS[mode])
            except Skipped as reason:
                missing[server.title] = str(reason)
                runs.pop(server.title, None)
            else:
                runs.setdefault(server.title, []).append(measured)
    return _part(runs, missing)


def _part(runs: dict[str, list[Measured]], missing: dict[str, str]) -> Part:
    rows = []
    for title, measured in runs.items():
        ratio = _ratio(runs, OURS, title)
        middle = [median(column) for column in zip(*measured, strict=True)]
        rows.append((title, *map(_figure, middle), f"{ratio:.2f}"))
    rows += [(title, *["–"] * 6, reason) for title, reason in missing.items()]
    ratios: dict[str, float | str] = {
        server.ratio: missing.get(server.title) or _ratio(runs, OURS, server.title)
        for server in SERVERS
        if server.ratio
    }
    columns = ("server", "requests a CPU s", "requests a s", "p50 ms", "p99 ms", "MB", "start, CPU ms")
    return Part([Table("Servers", (*columns, "Payphone ×"), rows)], ratios)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.4g}"


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
    return run(command, bench.root, iris.PATH, iris.BODY, key, bench, seconds)


def _peer(bench: Bench, server: Server, seconds: int) -> Measured:
    python = bench.environment(server.lock) if server.lock else Path(sys.executable)
    return run([str(python), *server.arguments], PEERS, server.path, server.body, "none", bench, seconds)
