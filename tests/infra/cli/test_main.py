"""What holds for every command: help, exit codes, errors, and the real process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from infra.cli.main import app


def leaves(command=None, path=()):
    """Every command that does something, with the words that lead to it."""
    command = command or typer.main.get_command(app)
    if not isinstance(command, TyperGroup):
        return [(path, command)]
    return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*path, name))]


LEAVES = leaves()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The `payphone` that was installed, as its own process."""
    command = [Path(sys.executable).with_name("payphone"), *arguments]
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def test_the_commands_that_were_promised_are_there():
    names = {" ".join(path) for path, _ in LEAVES}
    assert {
        "model train", "model list", "model show", "model promote", "model rollback", "predict",
        "customer add", "customer list", "customer erase", "key issue", "key list", "key rotate",
        "key revoke", "usage", "invoice preview", "invoice show", "doctor",
    } <= names  # fmt: skip


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_a_line_an_example_of_itself_and_json(path, command):
    first = command.help.splitlines()[0]
    assert first.endswith(".")
    assert re.search(rf"^Example: payphone {' '.join(path)}\b", command.help, re.MULTILINE)
    assert any("--json" in parameter.opts for parameter in command.params)


def test_help_names_the_exit_codes(payphone):
    text = " ".join(payphone.ok("--help").split())
    assert "0 done, 1 failed, 2 wrong usage" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("model", "nonsense"),
        ("model", "show"),
        ("usage", "--month", "November"),
        ("usage", "--by", "colour"),
        ("key", "rotate", "key_1", "--grace", "soon"),
        ("predict", "sentiment"),
        ("predict", "sentiment", "x", "--file", "y.txt"),
        ("usage", "--nonsense"),
    ],
)
def test_wrong_usage_is_2(payphone, arguments):
    assert payphone.error(*arguments, code=2)


def test_broken_settings_are_named_by_line(payphone, customer):
    payphone.service.write_text(payphone.service.read_text().replace("0.002", "-1"))
    message = payphone.error("key", "issue", customer, "--plan", "starter")
    assert re.search(r"service\.toml:\d+: plans\.starter\.price_per_call = -1", message)


def test_a_state_that_can_not_be_made(payphone, tmp_path):
    (tmp_path / "file").write_text("")
    other = payphone._replace(place=type("Place", (), {"root": tmp_path / "file"}))
    assert "file" in other.error("customer", "list")


def test_a_file_that_is_no_database(payphone):
    payphone.place.keys_file.write_bytes(b"not a database" * 1000)
    assert "keys.db" in payphone.error("key", "list")


def test_the_process_gives_one_document_and_exit_codes(tmp_path):
    state = str(tmp_path / "state")
    added = run("customer", "add", "Ada", "ada@example.com", "--json", PAYPHONE_STATE=state)
    assert (added.returncode, added.stderr) == (0, "")
    assert json.loads(added.stdout)["customer"].startswith("cus_")
    twice = run("--state", state, "customer", "add", "Ada", "ada@example.com", "--json")
    assert (twice.returncode, twice.stdout) == (1, "")
    assert "ada@example.com" in json.loads(twice.stderr)["error"]
    wrong = run("customer", "ad")
    assert wrong.returncode == 2
    assert "Did you mean 'add'" in wrong.stderr


def test_a_closed_pipe_is_no_error_to_tell(tmp_path):
    command = f"{Path(sys.executable).with_name('payphone')} --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom infra.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'numpy', 'fastapi', 'uvicorn', 'tensorflow', 'ctypes'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
