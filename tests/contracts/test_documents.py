"""The README tells the truth: its commands exist, and every command is in it."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from infra.cli.main import app
from infra.costs import METRICS, cost_of_a_call, cost_of_a_month, load_prices

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands():
    """Every command as its words, with its click object."""
    found = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            found[(name,)] = command
        else:
            found.update({(name, verb): c for verb, c in inner.items()})
    return found


def test_every_command_is_in_the_readme():
    table = README.partition("| command |")[2].partition("\n\n")[0]
    named = set()
    for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE):
        group = None
        for words in re.findall(r"`([a-z -]+)`", cell):
            parts = tuple(words.removeprefix("payphone ").split())
            group = parts[:1] if len(parts) == 2 else group
            named.add(parts if words.startswith("payphone") else (*group, *parts))
    assert named == set(commands())


def test_every_command_line_in_the_readme_is_one():
    known = commands()
    for line in re.findall(r"^(payphone [a-z ]+)", README, re.MULTILINE):
        words = tuple(line.split()[1:])
        assert any(words[: len(name)] == name for name in known), line


def test_what_the_documents_say_it_costs_is_what_is_computed():
    prices, page = load_prices(), (ROOT / "docs" / "aws.md").read_text()
    parts = cost_of_a_call(prices, 3, 512, "x86_64")
    parts["**all**"] = sum(parts.values())
    for name, value in parts.items():
        assert re.search(
            rf"^\| {re.escape(name)} \| \**{value * 1_000_000:.2f}\** \|$", page, re.MULTILINE
        ), name
    month = cost_of_a_month(prices, 1, 1)
    more = cost_of_a_month(prices, 2, 1)[METRICS] - month[METRICS]
    rest, use = sum(v for n, v in month.items() if n != METRICS), month[METRICS]
    flat = " ".join(page.split())
    assert f"At rest a stage costs {rest:.2f} a month" in flat
    assert f"come to {use:.2f} a month with one model and {more:.2f} for each further one" in flat
    readme = " ".join(README.split())
    assert f"cost {parts['**all**'] * 1_000_000:.2f} US dollars" in readme
    assert f"at rest costs {rest:.2f} a month, and one in steady use {use:.2f} more" in readme
    assert prices.as_of == "2026-11"  # as both say
    assert "November 2026" in flat


@pytest.mark.parametrize("command", commands().values(), ids=[" ".join(name) for name in commands()])
def test_every_command_has_help_an_example_and_json(command):
    assert command.help
    assert "Example: payphone " in command.help
    assert any("--json" in option.opts for option in command.params)


def test_the_examples_of_the_help_name_real_options():
    for name, command in commands().items():
        example = re.search(r"Example: payphone (.*)", command.help).group(1)
        assert example.startswith(" ".join(name)), example
        options = {
            opt for parameter in command.params for opt in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(re.findall(r"(?<= )--[a-z-]+", example)) <= options, example


def test_nothing_names_a_registry_or_a_path_of_a_machine():
    tracked = [
        p for p in ROOT.rglob("*") if p.is_file() and not {".git", ".venv", ".payphone"} & set(p.parts)
    ]
    texts = [p for p in tracked if p.suffix in (".py", ".md", ".toml", ".txt", ".in", ".json", ".sh", "")]
    for path in texts:
        if path == Path(__file__) or path.stat().st_size > 2_000_000:
            continue
        content = path.read_text(errors="ignore")
        assert not re.search(r"--(extra-)?index-url|\"resolved\": *\"http", content), path
