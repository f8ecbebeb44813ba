"""Steadiness: what one function process holds after ten thousand calls, and after a hundred thousand.

The function as deployed, its runtime client included, given one event after the other, each call with its
ledger row over TLS. Resident memory and open files have to be the same at the end as after the first tenth.
"""

import json
from pathlib import Path

from tests.benchmarks import clocks, lambda_part, runtime_api
from tests.benchmarks.part import Bench, Part, Table

CALLS = {"quick": 5_000, "full": 100_000}
FIGURES = ()


def measure(bench: Bench) -> Part:
    """Run it once."""
    calls = CALLS["quick" if bench.quick else "full"]
    bench.step(f"{calls:,} calls")
    python = bench.environment(lambda_part.LOCK)
    with lambda_part.dynamodb(bench) as aws:
        seen = holds(python, lambda_part.ours(bench, aws), calls)
    rows = [
        (f"{calls * share // 10:,}", f"{kb / 1024:.2f}", str(files))
        for share, (kb, files) in zip((1, 5, 10), seen, strict=True)
    ]
    return Part([Table("One process, call after call", ("calls", "MB resident", "open files"), rows)], {})


def holds(python: Path, function: lambda_part.Function, calls: int) -> list[tuple[int, int]]:
    """Resident kB and open files after a tenth, half and all of the calls."""
    environment = lambda_part.environment(function, "python3.11")
    command, seen = lambda_part.command(python, function), []
    with runtime_api.started(command, environment, function.path) as (pid, wire):
        for number in range(1, calls + 1):
            wire.read(b"/next")
            answer = json.loads(wire.call(function.event))
            if answer["statusCode"] != 200:
                raise runtime_api.FunctionFailed(f"call {number} was answered {answer}")
            wire.write(runtime_api.ACCEPTED)
            if number in (calls // 10, calls // 2, calls):
                files = len([*Path(f"/proc/{pid}/fd").iterdir()])
                seen.append((clocks.field_kb(pid, "status", "VmRSS"), files))
    return seen
