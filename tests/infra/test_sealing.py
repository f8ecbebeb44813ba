"""The server's night shift seals what has settled, in a process of its own, and goes on after a failure."""

import asyncio
from contextlib import closing, suppress

import pytest

from functions.metering.event import UsageEvent
from functions.metering.usage import day_of
from infra.sealing import keep_sealed
from infra.workspace import Workspace

LONG_AGO = 1_700_000_000_000


@pytest.fixture
def place(tmp_path):
    made = Workspace(tmp_path / "state")
    row = UsageEvent("gw:1", ("1",), "key_1", "cus_a", "p@1", "m", "1", "predict", 1, 1, LONG_AGO, "")
    with closing(made.ledger()) as ledger:
        ledger.append(row).outcome()
    return made


async def until(place, done):
    task = asyncio.create_task(keep_sealed(place, every=0.05))
    try:
        async with asyncio.timeout(120):
            while not done():
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_day_that_has_settled_is_sealed(place):
    asyncio.run(until(place, lambda: place.seals().names("")))
    assert place.seals().names("") == [day_of(LONG_AGO)]
    assert [head.size for head in place.seals().day(day_of(LONG_AGO)).customers.values()] == [1]


def test_what_fails_is_logged_and_tried_again(place, caplog):
    place.sealing_keys.mkdir(mode=0o700)
    broken = place.sealing_keys / "0001.pem"
    broken.touch(mode=0o600)
    asyncio.run(until(place, lambda: "restore it from your backup" in caplog.text))
    assert place.seals().names("") == []
    broken.unlink()
    asyncio.run(until(place, lambda: place.seals().names("")))
