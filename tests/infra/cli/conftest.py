"""A state folder of its own for each test, and the `payphone` command run in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from functions.inference.engine import load
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span
from infra.cli.main import app
from infra.workspace import Workspace
from models.manifest import Gate, Manifest, Parity, Preprocess, Signature, TensorSpec, describe_file

MONTH = "2026-11"

SERVICE = """
[service]
name = "Payphone"
currency = "USD"

[models]
serve = ["sentiment"]

[plans.trial]
price_per_call = 0
quota = 500

[plans.starter]
price_per_call = 0.002
free_calls = 1_000
rate = 10
burst = 20

[plans.pro]
monthly_fee = 49
price_per_call = 0.0008
"""


class Payphone(NamedTuple):
    """The command, in this process, with a state folder and a settings file."""

    place: Workspace
    service: Path

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Run it whatever comes of it."""
        before = ["--state", str(self.place.root), "--service", str(self.service)]
        return CliRunner().invoke(app, [*before, *arguments], input=stdin)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Run it; gives standard output."""
        result = self(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run it with --json; gives the one document."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def error(self, *arguments: str, code: int = 1) -> str:
        """Run it; gives the one sentence on standard error, the same as --json gives."""
        plain, machine = self(*arguments), self(*arguments, "--json")
        assert (plain.exit_code, machine.exit_code) == (code, code), plain.output
        assert (plain.stdout, machine.stdout) == ("", "")
        document = json.loads(machine.stderr)
        assert document["exit_code"] == code
        message = str(document["error"])
        assert "Traceback" not in plain.stderr
        assert plain.stderr.startswith("Error: ")
        assert message in plain.stderr
        return message


@pytest.fixture
def payphone(tmp_path: Path) -> Payphone:
    service = tmp_path / "service.toml"
    service.write_text(SERVICE)
    return Payphone(Workspace(tmp_path / "state"), service)


@pytest.fixture
def customer(payphone: Payphone) -> str:
    """A customer's id."""
    return str(payphone.json("customer", "add", "Ada Ltd", "ada@example.com")["customer"])


@pytest.fixture
def make_calls(payphone: Payphone) -> Callable[..., None]:
    """Write calls of a key into the ledger, one a day from the month's first."""

    def make(key_id: str, count: int, units: int = 1) -> None:
        with closing(payphone.place.keys()) as keys:
            key = keys.get(key_id)
        start, _ = month_span(MONTH)
        with closing(payphone.place.ledger()) as ledger:
            tickets = []
            for number in range(count):
                attempt = f"{key_id}-{number}"
                row = UsageEvent(
                    call_id=f"gw:{attempt}",
                    attempts=(attempt,),
                    key_id=key.key_id,
                    customer=key.customer,
                    plan=key.plan.version,
                    model="sentiment",
                    version="1",
                    kind="predict",
                    units=units,
                    bytes_in=10,
                    started_at=start + (number % 28) * 86_400_000 + number,
                    fingerprint="",
                )
                tickets.append(ledger.append(row))
            for ticket in tickets:
                ticket.outcome()

    return make


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what make_graph.py wrote."""
    path = tmp_path_factory.mktemp("graph") / "pairs.tflite"
    script = Path(__file__).with_name("make_graph.py")
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    made = subprocess.run(
        [sys.executable, script, path], check=False, env=quiet, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return path.parent


@pytest.fixture(scope="session")
def pairs_graph(graphs: Path) -> bytes:
    """A graph that says which of two numbers is larger."""
    return (graphs / "pairs.tflite").read_bytes()


@pytest.fixture(scope="session")
def wide_graph(graphs: Path) -> bytes:
    """A graph of a hundred numbers."""
    return (graphs / "wide.tflite").read_bytes()


@pytest.fixture
def pairs(payphone: Payphone, pairs_graph: bytes) -> Payphone:
    """The command with the model `pairs` published in versions 1 and 2."""
    signature = Signature(
        (TensorSpec("pair", "float32", (-1, 2)),), (TensorSpec("scores", "float32", (-1, 2)),)
    )
    manifest = Manifest(
        name="pairs",
        version="",
        family="rule",
        task="multiclass-classification",
        signatures={"predict": signature},
        preprocess=Preprocess("none", {}, ()),
        labels=("first", "second"),
        max_instances=3,
        source={"framework": "tensorflow"},
        quantization="float32",
        parity=Parity(10, 1.0, 0.0, Gate(10, 1.0, 0.0)),
        training={"metric": {"name": "accuracy", "value": 1.0, "rows": 10}},
        licence="Apache-2.0",
        model=describe_file("model.tflite", pairs_graph),
        recipe="",
    )
    registry = payphone.place.registry()
    for _ in range(2):
        published = registry.publish(manifest, {"model.tflite": pairs_graph})
    load(published, lambda name: registry.read(published, name)).close()
    return payphone


@pytest.fixture
def trained(payphone: Payphone, sentiment_workspace: Workspace, sentiment: Any) -> Payphone:
    """The command with the session's real sentiment model published."""
    shutil.copytree(sentiment_workspace.models, payphone.place.models)
    return payphone
