"""Call the deployed handler again and again in one process, and say what it holds before and after.

    python -m tests.benchmarks.steady CALLS < event.json      in a function's own environment

One line of JSON: resident kB and open files after a tenth of the calls, half of them and all of them.
"""

import importlib
import json
import os
import sys
from pathlib import Path

HANDLER = "functions.handlers.predict"


def resident_kb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError("VmRSS")


def main(calls):
    event = sys.stdin.buffer.read()
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a line a call, which the log would take
    handler = importlib.import_module(HANDLER).handler
    seen = []
    for number in range(1, calls + 1):
        answer = handler(json.loads(event), None)
        if answer["statusCode"] != 200:
            sys.exit(f"call {number} was answered {answer}")
        if number in (calls // 10, calls // 2, calls):
            seen.append((resident_kb(), len([*Path("/proc/self/fd").iterdir()])))
    os.write(out, json.dumps(seen).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
