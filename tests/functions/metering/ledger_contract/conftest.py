import runpy
from pathlib import Path

import pytest

LEDGERS = runpy.run_path(str(Path(__file__).parent / "ledgers.py"))["LEDGERS"]

# An empty store per test, as the address that its entry in LEDGERS opens.
ADDRESSES = {"sqlite": lambda folder: str(folder / "ledger.db")}


@pytest.fixture(params=LEDGERS)
def ledger_name(request):
    return request.param


@pytest.fixture
def address(ledger_name, tmp_path):
    return ADDRESSES[ledger_name](tmp_path)


@pytest.fixture
def open_ledger(ledger_name, address):
    opened = []

    def open_one():
        opened.append(LEDGERS[ledger_name](address))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger):
    return open_ledger()
