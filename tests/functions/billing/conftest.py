from pathlib import Path

import pytest

from functions.billing.plans import PlanBook
from models.store import LocalStore


@pytest.fixture
def book(tmp_path: Path) -> PlanBook:
    return PlanBook(LocalStore(tmp_path / "state"))
