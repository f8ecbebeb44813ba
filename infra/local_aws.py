"""A local AWS for `payphone quickstart --cloud`, in a process of its own: the one that the tests deploy to.

It lies with them, in tests/cloud/emulator, which every clone has; nothing of it is imported here. It
installs itself into the cache folder the first time, keeps its state in memory, listens on 127.0.0.1 only,
and ends when this process lets go of its standard input, however that comes about.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.tools import ROOT

SERVER = ROOT / "tests" / "cloud" / "emulator" / "server.py"
REGION = "us-east-1"
LAST_LINES = 20


class NoLocalAws(Exception):
    """The local AWS did not start; the message has what it said last."""


def environment(endpoint: str) -> dict[str, str]:
    """The variables that lead an SDK and the CDK CLI to it."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


@contextmanager
def running(log: Path) -> Iterator[str]:
    """Start one and make it this process' AWS while the block runs; gives its endpoint. NoLocalAws."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as noise:
        process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            cwd=ROOT,
        )
    former = dict(os.environ)
    try:
        assert process.stdout
        endpoint = process.stdout.readline().strip()
        if not endpoint:
            said = "\n".join(log.read_text().splitlines()[-LAST_LINES:])
            raise NoLocalAws(f"the local AWS did not start; all of it is in {log}\n{said}")
        for name in [name for name in former if name.startswith("AWS_")]:
            del os.environ[name]  # a profile or a certificate of an account has no place here
        os.environ.update(environment(endpoint))
        yield endpoint
    finally:
        os.environ.clear()
        os.environ.update(former)
        assert process.stdin
        process.stdin.close()
        process.wait()
