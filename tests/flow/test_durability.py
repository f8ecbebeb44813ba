"""Power, not only processes: a row is on the disk before its answer is on the wire."""

import re
import shutil
import subprocess

PATH = "/v1/models/sentiment/predict"


def test_the_sync_of_a_row_comes_before_its_answer(make_server, tmp_path):
    strace = shutil.which("strace")
    assert strace, "this test needs strace: apt-get install strace (make test does it)"
    trace = tmp_path / "trace"
    wrapper = [strace, "-f", "-ttt", "-y", "-s", "200000", "-o", str(trace)]
    calls = "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"
    with make_server() as server:
        server.start(*wrapper, "-e", calls)
        key, _ = server.issue()
        with server.client(key) as client:
            ids = [client.post(PATH, json={"instances": ["Fine."]}).headers["x-request-id"] for _ in range(5)]
        subprocess.run(["pkill", "-TERM", "-P", str(server.process.pid)], check=True)
        server.process.wait(60)
    lines = trace.read_text(errors="replace").splitlines()
    for attempt in ids:
        answer = first(lines, "HTTP/1.1 200", f"x-request-id: {attempt}")
        row = first(lines, "pwrite64(", "ledger.db-wal", f"gw:{attempt}")
        synced = next(number for number in range(row, len(lines)) if is_sync(lines[number]))
        assert row < synced < answer


def is_sync(line):
    """A sync of the write-ahead log that has returned 0: finished in one line, or resumed after others."""
    whole = re.search(r"f(data)?sync\(.*ledger\.db-wal>\)\s*= 0", line)
    return bool(whole or re.search(r"<\.\.\. f(data)?sync resumed>.*= 0", line))


def first(lines, *parts):
    return next(number for number, line in enumerate(lines) if all(part in line for part in parts))
