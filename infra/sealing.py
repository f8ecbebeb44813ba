"""The server's night shift: it seals days that have settled, in a process of its own.

So the key that signs is never in the memory of what answers calls, and a long day takes it no time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import closing, suppress

from functions.metering.sealing import due
from infra.workspace import Workspace

EVERY_SECONDS = 3600.0

log = logging.getLogger("payphone.sealing")


async def keep_sealed(workspace: Workspace, every: float = EVERY_SECONDS) -> None:
    """Seal what is due, now and each hour, until cancelled. What fails is logged, and tried again."""
    while True:
        try:
            if await asyncio.to_thread(_due, workspace):
                await _seal(workspace)
        except Exception as error:
            log.error("sealing failed: %s: %s", type(error).__name__, error)
        await asyncio.sleep(every)


def _due(workspace: Workspace) -> list[str]:
    with closing(workspace.usage()) as usage:
        return due(workspace.seals(), usage, time.time_ns() // 1_000_000)


async def _seal(workspace: Workspace) -> None:
    command = ("-c", "from infra.cli.main import app; app()", "--state", str(workspace.root), "seal", "run")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:  # we are stopped: half a seal is none
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        log.error("sealing failed: %s", said.decode(errors="replace").strip())
