import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from server import ACCOUNT, REGION, running

HERE = Path(__file__).parent


def test_another_release_of_ministack_is_refused_loudly(tools):
    script = (
        "import importlib.metadata as m, main; m.version = lambda _: '1.5.34'; main.check_pin(); print('on')"
    )
    done = subprocess.run(
        [tools.emulator_python, "-c", script], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "written for ministack 1.5.33 and found 1.5.34" in done.stderr
    assert "on" not in done.stdout.split()


def test_the_end_of_the_block_is_the_end_of_the_emulator(tools):
    with running(tools) as second:
        urllib.request.urlopen(f"{second.endpoint}/_ministack/health", timeout=5).close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{second.endpoint}/_ministack/health", timeout=5)
    assert not second.log.exists()


def test_the_script_ends_when_its_stdin_closes(tools):
    script = subprocess.Popen(
        [sys.executable, HERE / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    endpoint = script.stdout.readline().strip()
    urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5).close()
    script.communicate("")
    assert script.returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5)


def test_with_iam_enforced_a_function_can_do_only_what_its_role_grants(tools, deploy):
    with running(tools, enforce_iam=True) as strict, deploy(strict) as stack:
        assert stack.call().status_code == 200  # asks nothing of AWS
        policy = stack.client("iam").list_role_policies(RoleName=stack.outputs["Role"])["PolicyNames"]
        assert policy == []
        refused = stack.call(json={"put": stack.outputs["Seen"]})
        assert refused.status_code == 502
        grant = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
        stack.client("iam").put_role_policy(
            RoleName=stack.outputs["Role"],
            PolicyName="put",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [grant]}),
        )
        assert stack.call(json={"put": stack.outputs["Seen"]}).status_code == 200


def test_the_pinned_cdk_bootstraps_the_account(aws, tools, tmp_path):
    version = subprocess.run(
        [tools.cdk, "--version"], env=aws.environment(), capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("2.1148.1 ")
    done = subprocess.run(
        [tools.cdk, "bootstrap", "--no-notices", f"aws://{ACCOUNT}/{REGION}"],
        env=aws.environment() | {"HOME": os.fspath(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bootstrapped" in done.stdout + done.stderr
