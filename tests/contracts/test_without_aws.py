"""What runs on one machine needs nothing that only AWS does: `make quickstart` installs neither of these."""

import subprocess
import sys

import pytest

from layers.bundle import ROOT

ONLY_FOR_AWS = ("boto3", "botocore", "aws_cdk", "constructs")
# What commands without --stage import when they run, besides what infra.cli imports for all of them.
PARTS = ("daybook", "evidence", "pipeline", "place", "quickstart", "sealing", "serving", "workspace")
SCRIPT = """
import importlib, sys
for name in sys.argv[1].split():
    sys.modules[name] = None  # importing it is a ModuleNotFoundError
for name in sys.argv[2].split():
    importlib.import_module(name)
"""


COMMANDS = [f"cli.{path.stem}" for path in sorted((ROOT / "infra/cli").glob("*.py"))]


@pytest.mark.parametrize("part", [*PARTS, *COMMANDS])
def test_it_imports_without_what_only_aws_needs(part):
    command = [sys.executable, "-c", SCRIPT, " ".join(ONLY_FOR_AWS), f"infra.{part}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
