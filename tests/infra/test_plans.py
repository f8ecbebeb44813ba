from contextlib import closing
from pathlib import Path

import pytest

from infra.plans import PlanConflict, publish_plans
from infra.service import Settings, load
from infra.workspace import Workspace

FILE = """\
[service]
name = "Payphone"
currency = "{currency}"
[models]
serve = ["sentiment"]
[plans.starter]
price_per_call = {price}
rate = 10
burst = 20
quota = 100
[plans.open]
price_per_call = 1
"""


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "state")


@pytest.fixture
def settings(tmp_path: Path):
    def make(price: str = "0.002", currency: str = "USD") -> Settings:
        file = tmp_path / "service.toml"
        file.write_text(FILE.format(price=price, currency=currency))
        return load(file)

    return make


def test_plans_come_into_force_and_into_the_book(place, settings):
    configured = settings()
    limits = publish_plans(configured, place)
    starter = limits["starter"]
    assert (starter.rate, starter.burst, starter.quota) == (10.0, 20, 100)
    assert (limits["open"].rate, limits["open"].burst, limits["open"].quota) == (0, 0, 0)
    assert place.plan_book().get(starter.version) == configured.plans["starter"]
    with closing(place.keys()) as keys:
        assert {plan.name: plan for plan in keys.plans()} == limits


def test_an_edit_reaches_keys_that_were_issued_before(place, settings):
    before = publish_plans(settings(), place)["starter"]
    with closing(place.keys()) as keys:
        keys.issue("cus_a", "starter")
    after = publish_plans(settings(price="0.003"), place)["starter"]
    assert before.version != after.version
    with closing(place.keys()) as keys:
        assert [key.plan for key in keys.list()] == [after]
    assert {str(place.plan_book().get(v.version).price_per_call) for v in (before, after)} == {
        "0.002",
        "0.003",
    }


def test_publishing_again_writes_nothing(place, settings):
    publish_plans(settings(), place)
    with closing(place.keys()) as keys:
        (seen,) = keys._reader.execute("PRAGMA data_version").fetchone()
        publish_plans(settings(), place)
        assert keys._reader.execute("PRAGMA data_version").fetchone() == (seen,)


def test_a_plan_can_not_change_its_currency(place, settings):
    first = publish_plans(settings(), place)
    with pytest.raises(PlanConflict, match="starter charges in USD and can't change to EUR"):
        publish_plans(settings(currency="EUR"), place)
    with closing(place.keys()) as keys:
        assert {plan.name: plan for plan in keys.plans()} == first


def test_the_state_folder_is_private(tmp_path):
    place = Workspace(tmp_path / "deep" / "state")
    assert place.root.stat().st_mode & 0o777 == 0o700
    assert list(place.usage().rows(0, 2**60)) == []


def test_a_plan_does_not_turn_prepaid(place, settings, tmp_path):
    publish_plans(settings(), place)
    file = tmp_path / "service.toml"
    file.write_text(file.read_text() + "prepaid = true\n")
    with pytest.raises(PlanConflict, match="plan open is paid by invoice and can't become prepaid"):
        publish_plans(load(file), place)
