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
        ("price_per_call = 0.002", "price_per_cal = 1", "15: [plans.starter] has an unknown setting"),
        ("price_per_call = 0.002", "", "14: plans.starter: a price for predict calls of digits was expected"),
        ("price_per_call = 0\n", "", "11: plans.trial: price_per_call or prices was expected"),
        ("rate = 10", "rte = 10", "17: [plans.starter] has an unknown setting rte: did you mean rate?"),
        ("rate = 10\n", "", "14: plans.starter: rate and burst belong together"),
        ("burst = 20", "burst = 2.5", "18: plans.starter.burst = 2.5: a whole number was expected"),
        ("burst = 20", "quota = 0", "18: plans.starter.quota = 0: at least 1 was expected"),
        ("burst = 20", "burst = 20\nmonthly_fee = 0.001", "19: plans.starter.monthly_fee: finer than 0.01"),
        ("burst = 20", 'burst = 20\nname = "b"', "19: plans.starter.name: a plan is named"),
        ("sentiment = ", "sentimant = ", "16: plans.starter.model_prices.sentimant: a model that is served"),
        ("[plans.starter]", "[plans.Starter]", "14: plans.Starter = \"Starter\": lower-case letters"),
        ('"USD"', '"USX"', '3: service.currency = "USX": a currency is an ISO 4217 code'),
        ('currency = "USD"\n', "", "1: [service] lacks currency"),
        ('  "digits"', '  "di gits"', '8: models.serve(2) = "di gits": lower-case letters'),
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


PRICES = """
[[plans.starter.prices]]
model = "digits"
kind = "explain"
per = "unit"
tiering = "graduated"
tiers = [
  { up_to = 10, price = 1 },
  { from = 11, up_to = 20, price = 0.5 },
  { from = 21, price = 0.1 },
]

[[plans.starter.prices]]
model = "sentiment"
kind = "batch"
price = 3

[[plans.starter.changes]]
effective_from = 2026-12-01T00:00:00Z
price_per_call = 0.003
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("from = 11", "from = 12", "27: plans.starter.prices(1).tiers(2).from: tiers leave a gap: this one"),
        ("from = 21", "from = 20", "28: plans.starter.prices(1).tiers(3).from: tiers overlap"),
        ("up_to = 20", "up_to = 10", "27: plans.starter.prices(1).tiers(2).up_to: tiers overlap"),
        ("{ from = 21,", "{ from = 21, up_to = 30,", "28: plans.starter.prices(1).tiers(3).up_to: tiers"),
        ("price = 0.5", "price = -0.5", "27: plans.starter.prices(1).tiers(2).price = -0.5: at least 0 was"),
        ("price = 3", "price = -3", "34: plans.starter.prices(2).price = -3: at least 0 was expected"),
        ('model = "digits"', 'model = "digit"', "21: plans.starter.prices(1).model: a model that is served"),
        ("price = 3", "cost = 3", "34: [plans.starter.prices(2)] has an unknown setting cost: it"),
        ("price = 3", "", "31: plans.starter.prices(2): either price or tiers was expected"),
        ('"batch"', '"bulk"', '33: plans.starter.prices(2).kind = "bulk": \'predict\', \'explain\' or'),
        ('tiering = "graduated"', "", "20: plans.starter.prices(1): tiers and tiering"),
        ("2026-12-01T00:00:00Z", '"soon"', '37: plans.starter.changes(1).effective_from = "soon": an'),
        ("0.003", "-1", "38: plans.starter.changes(1).price_per_call = -1: at least 0 was expected"),
        ("0.003", "0.003\nmonthly_fee = 0.001", "39: plans.starter.changes(1).monthly_fee: finer"),
        ("0.003", '0.003\nmodel_prices = { x = 1 }', "39: plans.starter.changes(1).model_prices.x:"),
    ],
)  # fmt: skip
def test_nonsense_in_prices_is_named_by_line(file, old, new, said):
    assert old in PRICES
    file.write_text(GOOD + PRICES)
    assert len(load(file).plans["starter"].prices) == 2
    file.write_text(GOOD + PRICES.replace(old, new))
    with pytest.raises(SettingsError) as refused:
        load(file)
    lines = [line.removeprefix(f"{file}:") for line in str(refused.value).splitlines()]
    assert any(line.startswith(said) for line in lines), lines


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
        (["t", "list", 1], 7),
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


def test_aws_has_defaults_and_a_table_a_model(file):
    assert load(file).aws.model("digits").artifact == "layer"
    file.write_text(GOOD + '[aws]\nstage = "dev"\n[aws.models.digits]\nmemory = 1024\nartifact = "s3"\n')
    aws = load(file).aws
    assert (aws.stage, aws.model("digits").memory, aws.model("sentiment").memory) == ("dev", 1024, 512)


@pytest.mark.parametrize(
    ("table", "line", "expected"),
    [
        ('[aws]\npython = "3.11"', 2, "'3.12', '3.13' or '3.14' was expected"),
        ('[aws]\nmachine = "m1"', 2, "'x86_64' or 'arm64' was expected"),
        ('[aws]\nstage = "a-b"', 2, "expected"),
        ("[aws]\nlog_retention_days = 2", 2, "one of 1, 3, 5, 7, 14, 30"),
        ('[aws]\ndomain = "api.example.com"', 2, "domain and certificate belong together"),
        ("[aws]\ncustomer_managed_key = 1", 2, "true or false was expected"),
        ("[aws.models.nothing]\nmemory = 512", 1, "a model that is served was expected (sentiment, digits)"),
        ("[aws.models.digits]\nmemory = 64", 2, "at least 128 was expected"),
        ("[aws.models.digits]\nmemori = 512", 2, "unknown setting memori: did you mean memory?"),
        ("[aws]\nstge = 1", 2, "did you mean stage?"),
    ],
)
def test_what_is_wrong_in_aws_is_named_by_its_line(file, table, line, expected):
    file.write_text(f"{GOOD}{table}\n")
    with pytest.raises(SettingsError) as refused:
        load(file)
    at = len(GOOD.splitlines()) + line
    assert str(refused.value).startswith(f"{file}:{at}: ")
    assert expected in str(refused.value)


def test_a_prepaid_plan_whose_price_is_not_known_is_refused_by_line(file):
    prepaid = """
prepaid = true
free_calls = 100
burst = 20
[[plans.starter.prices]]
kind = "batch"
tiering = "volume"
tiers = [{ up_to = 9, price = 2 }, { price = 1 }]
"""
    (problem,) = problems(file, "burst = 20\n", prepaid)
    assert problem.startswith("20: plans.starter.free_calls: a prepaid plan can't have free_calls")
    (problem,) = problems(file, "burst = 20\n", prepaid.replace("free_calls = 100\n", ""))
    assert problem.startswith("24: plans.starter.prices(1).tiers")
    assert "depends on how many calls the month has" in problem
