from decimal import Decimal
from pathlib import Path

import pytest

from infra.service import DEFAULT_PATH, SettingsError, load
from infra.toml_lines import line_of

GOOD = """\
[service]
name = "Payphone"
currency = "USD"

[models]
serve = [
  "sentiment",
  "digits",
]

[plans.trial]
price_per_call = 0

[plans.starter]
price_per_call = 0.002
model_prices = { sentiment = "0.003" }
rate = 10
burst = 20
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(GOOD)
    return path


def problems(file: Path, old: str, new: str) -> list[str]:
    """What load says after one edit, without the path that starts each line."""
    assert old in GOOD
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(SettingsError) as refused:
        load(file)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:") for line in lines]


def test_the_shipped_file_is_valid():
    settings = load(DEFAULT_PATH)
    assert settings.models.serve == ("sentiment",)
    assert {"trial", "starter"} <= settings.plans.keys()


def test_a_good_file(file):
    settings = load(file)
    starter = settings.plans["starter"]
    assert settings.service.currency == "USD"
    assert (starter.name, starter.currency) == ("starter", "USD")
    assert starter.price("sentiment") == Decimal("0.003")
    assert starter.price("digits") == Decimal("0.002")


def test_amounts_never_pass_through_a_float(file):
    file.write_text(GOOD.replace("0.002", "0.100000000001"))
    assert load(file).plans["starter"].price_per_call == Decimal("0.100000000001")


def test_a_plan_may_have_its_own_currency(file):
    file.write_text(GOOD.replace("price_per_call = 0\n", 'price_per_call = 0\ncurrency = "EUR"\n'))
    plans = load(file).plans
    assert (plans["trial"].currency, plans["starter"].currency) == ("EUR", "USD")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("= 0.002", "= -0.002", "15: plans.starter.price_per_call = -0.002: at least 0 was expected"),
        ("= 0.002", "= nan", "15: plans.starter.price_per_call = NaN: a number was expected"),
        ("= 0.002", "= true", "15: plans.starter.price_per_call = true: an amount is a number"),
        ("= 0.002", '= "free"', '15: plans.starter.price_per_call = "free": a number was expected'),
        ("price_per_call = 0.002", "price_per_cal = 1", "14: [plans.starter] lacks price_per_call"),
        ("rate = 10", "rte = 10", "17: [plans.starter] has an unknown setting rte: did you mean rate?"),
        ("rate = 10\n", "", "14: plans.starter: rate and burst belong together"),
        ("burst = 20", "burst = 2.5", "18: plans.starter.burst = 2.5: a whole number was expected"),
        ("burst = 20", "quota = 0", "18: plans.starter.quota = 0: at least 1 was expected"),
        ("burst = 20", "burst = 20\nmonthly_fee = 0.001", "14: plans.starter: monthly_fee is finer"),
        ("burst = 20", 'burst = 20\nname = "b"', "19: plans.starter.name: a plan is named"),
        ("sentiment = ", "sentimant = ", "16: plans.starter.model_prices.sentimant: a model that is served"),
        ("[plans.starter]", "[plans.Starter]", "14: plans.Starter = \"Starter\": lower-case letters"),
        ('"USD"', '"USX"', '3: service.currency = "USX": a currency is an ISO 4217 code'),
        ('currency = "USD"\n', "", "1: [service] lacks currency"),
        ('  "digits"', '  "di gits"', '6: models.serve.1 = "di gits": lower-case letters'),
        ('"Payphone"', "7", "2: service.name = 7: a text in quotes was expected"),
        ("[models]", "[model]", "1: the file lacks models"),
        ("[models]", "[model]", "5: the file has an unknown setting model: did you mean models?"),
        ("rate = 10", "rate = ", "17: this is not TOML"),
        ("rate = 10", "burst = 5", "18: this is not TOML"),
        ("burst = 20", 'burst = "', "18: this is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_line(file, old, new, said):
    assert any(line.startswith(said) for line in problems(file, old, new))


def test_one_wrong_currency_is_one_problem_not_one_a_plan(file):
    assert len(problems(file, '"USD"', '"USX"')) == 1


def test_all_problems_are_reported_at_once_in_the_order_of_lines(file):
    said = problems(file, GOOD, GOOD.replace('"USD"', '"U"').replace("0.002", "-1").replace("20", "0"))
    assert [line.partition(":")[0] for line in said] == ["3", "15", "18"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"does not exist.*--service FILE"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "service.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="can't be read"):
        load(path)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["a"], 2),
        (["t", "b"], 4),
        (["t", "list"], 5),
        (["t", "list", 1], 5),
        (["t", "dotted", "x"], 10),
        (["t", "in line", "y"], 11),
        (["u"], 14),
        (["u", "text"], 15),
        (["u", "missing"], 14),
        (["nothing"], 1),
        ([], 1),
    ],
)
def test_line_of_every_notation(keys, line):
    text = (
        "# comment\na = 1\n[t]\nb = 1\nlist = [\n  1,\n  2,\n]\n# u = 1\ndotted.x = 1\n"
        '"in line" = { y = 1 }\nnotu = """\n[u]"""\n[u]\ntext = \'\'\'\na = 1\n\'\'\'\n'
    )
    assert line_of(text, keys) == line
