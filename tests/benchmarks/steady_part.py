"""Steadiness: what one function process holds after ten thousand calls, and after a hundred thousand.

The handler as deployed, called in a loop in one process, each call with its ledger row over TLS. Resident
memory and open files have to be the same at the end as after the first tenth.
"""

import json
import subprocess

from tests.benchmarks import lambda_part
from tests.benchmarks.part import ROOT, Bench, Part, Table

CALLS = {"quick": 5_000, "full": 100_000}
FIGURES = ()


def measure(bench: Bench) -> Part:
    """Run it once."""
    calls = CALLS["quick" if bench.quick else "full"]
    bench.step(f"{calls:,} calls")
    python = bench.environment(lambda_part.LOCK)
    with lambda_part.dynamodb(bench) as aws:
        seen = holds(str(python), lambda_part.ours(bench, aws), calls)
    rows = [
        (f"{calls * share // 10:,}", f"{kb / 1024:.2f}", str(files))
        for share, (kb, files) in zip((1, 5, 10), seen, strict=True)
    ]
    return Part([Table("One process, call after call", ("calls", "MB resident", "open files"), rows)], {})


def holds(python: str, function: lambda_part.Function, calls: int) -> list[tuple[int, int]]:
    """Resident kB and open files after a tenth, half and all of the calls."""
    environment = lambda_part.environment(function, "python3.11")
    done = subprocess.run(
        [python, str(ROOT / "tests" / "benchmarks" / "steady.py"), str(calls)],
        input=function.event,
        env=environment,
        cwd=function.path,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return [(kb, files) for kb, files in json.loads(done.stdout)]
