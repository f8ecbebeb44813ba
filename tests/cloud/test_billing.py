"""From the quickstart's calls on a stage to invoices that are closed, held against the log, and mended."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from functions.billing.verify import Evidence, verify
from functions.metering.heads import PublicKey, encoded, key_id
from functions.metering.proofs import Proofs
from functions.metering.usage import month_span
from infra.cloud.stage import Stage
from infra.target import Target

STAGE = "sold"


class Operator:
    """Runs `payphone` against a stage that `quickstart --cloud --stage` has made."""

    def __init__(self, aws, state):
        self.aws, self.state = aws, state

    def command(self, *arguments):
        line = [sys.executable, "-c", "from infra.cli.main import app; app()", "--state", str(self.state)]
        line += [*arguments, "--stage", STAGE, "--json"]
        return subprocess.run(line, env=self.aws.environment(), capture_output=True, text=True, check=False)

    def run(self, *arguments, code=0):
        done = self.command(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def operator(aws, sentiment, sentiment_workspace, tmp_path_factory):
    state = tmp_path_factory.mktemp("quickstart") / "state"
    state.mkdir(mode=0o700)
    for folder in ("models", "work", "data"):
        shutil.copytree(sentiment_workspace.root / folder, state / folder)
    return Operator(aws, state)


@pytest.fixture(scope="module")
def told(operator):
    """The quickstart's line."""
    done = operator.command("quickstart", "--cloud")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def month():
    return time.strftime("%Y-%m", time.gmtime())


def test_the_quickstart_sells_the_same_from_a_stage(told, sentiment):
    assert told["calls_answered"] == told["calls_billed"] == 15
    assert told["ledger_rows"] == told["archive_rows"] == told["access_log_rows"] == 15
    assert (told["calls_refused"], told["calls_replayed"]) == (4, 1)
    assert (told["invoice_total"], told["currency"]) == ("0.03", "USD")  # as tests/flow/test_quickstart.py
    assert told["model_bytes"] == sentiment.manifest.model.size
    assert told["layer_bytes"] > told["model_bytes"]
    assert told["deploy_seconds"] > 0


def test_a_month_on_a_stage_is_reconciled_closed_and_mended(operator, told, month):
    run = operator.run
    lose_a_line(operator)  # its function has said the same in its own log
    agreed = run("reconcile", "--month", month)
    assert (agreed["agrees"], agreed["billed"], agreed["answered"]) == (True, 15, 16)  # a replay, too
    early = operator.command("invoice", "close", "--month", month)
    assert early.returncode == 1
    assert "is not over" in early.stderr
    for _ in range(2):  # the second changes nothing
        closed = run("invoice", "close", "--month", month, "--early")
        (invoice,) = closed["invoices"]
        assert (invoice["total"], closed["left_out"]) == ("0.03", {})
    number = invoice["number"]
    assert [(seal["count"], seal["billed"]) for seal in invoice["seals"]] == [(15, 15)]
    with there(operator) as stage:
        public = stage.target.client("kms").get_public_key(KeyId=stage.outputs["SealingKey"])["PublicKey"]
        calls = [row.call_id for row in stage.usage().rows(*month_span(month))]
        with closing(stage.keys()) as keys:
            (key,) = keys.list()
        proofs = Proofs(stage.seals(), {}.get)
        found = [proofs.find(key.customer, call, seal["day"]) for call in calls for seal in invoice["seals"]]
    pinned = PublicKey(key_id(public[-32:]), encoded(public[-32:]))
    verdict = verify(invoice, Evidence([], [proof.document() for proof in found if proof]), [pinned])
    assert (verdict.wrong, verdict.proven) == ((), 15)
    assert run("invoice", "show", number)["total"] == "0.03"
    assert run("invoice", "preview", "--month", month)["status"] == "closed"
    exported = run("invoice", "export", number, "--format", "csv")
    assert "sentiment" in exported["text"]

    call = fail_one(operator)
    wrong = run("reconcile", "--month", month, code=1)
    assert wrong["counts"]["failed"] == 1
    mended = run("reconcile", "--month", month, "--credit", code=1)  # that the log has two lines of it stays
    assert len(mended["credit_notes"]) == 1
    documents = run("invoice", "list", "--month", month)["documents"]
    assert [(d["type"], d["total"], d.get("calls")) for d in documents] == [
        ("invoice", "0.03", None),
        ("credit_note", "0.00", [call]),
    ]
    note = run("invoice", "credit", number, "--amount", "0.01", "--reason", "goodwill")
    assert (note["total"], note["invoice"]) == ("0.01", number)


def test_the_archive_is_rebuilt_from_an_export_of_the_ledger(operator, told, month):
    run = operator.run
    before = run("usage", "--month", month)
    with there(operator) as stage:
        s3, bucket = stage.target.client("s3"), stage.outputs["ArchiveBucket"]
        for name in stage.archive().bucket.list("usage/"):
            s3.delete_object(Bucket=bucket, Key=name)
    assert run("usage", "--month", month)["calls"] == 0
    assert operator.command("archive", "rebuild", "--export", "nowhere").returncode == 1
    done = run("archive", "rebuild")
    assert (done["rows"], done["refused"]) == (15, [])
    assert run("usage", "--month", month) == before
    assert run("archive", "rebuild", "--export", done["export"])["rows"] == 15
    assert run("usage", "--month", month) == before


@contextmanager
def there(operator):
    """The stage as the operator's machine sees it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in operator.aws.environment().items():
            patch.setenv(name, value)
        yield Stage(Target(STAGE, "us-east-1", "3.13", "x86_64", True))


def lines_of(bucket, action):
    """The log's lines of answered calls of an action, with the objects they are in, one a line here."""
    found = [(name, json.loads(bucket.get(name))) for name in bucket.list("access-log/")]
    return [(n, line) for n, line in found if line["status"] == 200 and line["path"].endswith(f"/{action}")]


def lose_a_line(operator):
    """Take a line out of the access log, which AWS does not promise to be whole."""
    with there(operator) as stage:
        name, _ = lines_of(stage.archive().bucket, "predict")[0]
        stage.target.client("s3").delete_object(Bucket=stage.outputs["ArchiveBucket"], Key=name)


def fail_one(operator):
    """Let the log say of a call that its answer was a failure; gives the call."""
    with there(operator) as stage:
        bucket = stage.archive().bucket
        name, line = lines_of(bucket, "infer")[0]
        bucket.put(f"{name}-again", json.dumps(line | {"status": 502}).encode() + b"\n")
        return f"gw:{line['attempt_id']}"
