"""The deployed meter and seal, in this process: stream records in, seals and expiring rows out."""

import base64
import importlib
import io
import itertools
import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from functions.aws.service import dynamodb_in
from functions.metering.archived import ArchiveUsage
from functions.metering.dynamodb import DynamoDbLedger, _item
from functions.metering.event import VOID
from functions.metering.usage import month_span

NOVEMBER = month_span("2026-11")
NOON = 1_795_435_200_000
HOUR = 3600 * 1000
ROOT = Path(__file__).parents[4]
LATER = NOVEMBER[1] + 28 * HOUR


class Context(SimpleNamespace):
    function_name = "meter"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:meter"
    aws_request_id = "request"
    milliseconds = 900_000

    def get_remaining_time_in_millis(self):
        return self.milliseconds


@pytest.fixture
def load(s3, ledger_table):
    loaded = []

    def load_one(name):
        module = f"functions.handlers.{name}"
        sys.modules.pop(module, None)
        loaded.append(module)
        found = importlib.import_module(module)
        found._logger.registered_handler.setStream(io.StringIO())  # it would hold on to its first stdout
        return found

    yield load_one
    for module in loaded:
        sys.modules.pop(module, None)


@pytest.fixture
def change():
    """A record of the ledger's stream."""
    numbers = itertools.count(1000)

    def make(row=None, before=None, event="INSERT", expires=None):
        def image(of):
            return json.loads(f"{{{_item(of)}}}")

        inner = {"SequenceNumber": str(next(numbers)), "StreamViewType": "NEW_AND_OLD_IMAGES"}
        if row is not None:
            inner["NewImage"] = image(row) | ({"expires_at": {"N": str(expires)}} if expires else {})
        if before is not None:
            inner["OldImage"] = image(before)
        return {
            "eventID": inner["SequenceNumber"],
            "eventName": event,
            "eventSource": "aws:dynamodb",
            "dynamodb": inner,
        }

    return make


def test_the_meter_keeps_what_was_written(load, archive, make_row, change):
    meter = load("meter")
    one, other = make_row(), make_row()
    taken_back = other._replace(state=VOID, revision=2)
    batch = {"Records": [change(one), change(other), change(taken_back, other, "MODIFY")]}
    for _ in range(2):  # a batch may come twice
        assert meter.handler(batch, Context()) == {"batchItemFailures": []}
    assert list(ArchiveUsage(archive).rows(*NOVEMBER)) == [one]
    assert len(archive.objects("2026-11-23")) == 1


def test_the_meter_counts_soft_limits(load, soft_limits, make_row, change):
    """Calls that became billed, less those taken back; a replay is none, nor is a row that only expires."""
    one, two, three = (make_row() for _ in range(3))
    void = two._replace(state=VOID, revision=2)
    replayed = one._replace(attempts=("a1", "a2"), revision=2)
    batch = [
        change(one), change(two), change(three), change(void, two, "MODIFY"), change(replayed, one, "MODIFY"),
        change(one, one, "MODIFY", expires=1), change(void, event="INSERT"),
    ]  # fmt: skip
    assert load("meter").handler({"Records": batch}, Context()) == {"batchItemFailures": []}
    assert soft_limits.balance("quota#cus_a#starter#2026-11") == -2


def test_what_bills_nothing_new_is_not_kept(load, archive, make_row, change):
    row = make_row()
    batch = [change(row, row, "MODIFY", expires=1), change(None, row, "REMOVE")]
    assert load("meter").handler({"Records": batch}, Context()) == {"batchItemFailures": []}
    assert archive.days() == []


def logged(module):
    return module._logger.registered_handler.stream.getvalue()


def test_a_poisoned_record_is_reported_and_stops_nobody(load, archive, make_row, change):
    rows = [make_row() for _ in range(3)]
    poisoned = change(make_row("secret-id"))
    del poisoned["dynamodb"]["NewImage"]["units"]
    records = [change(rows[0]), poisoned, change(rows[1]), change(rows[2])]
    sequence = poisoned["dynamodb"]["SequenceNumber"]
    meter = load("meter")
    answer = meter.handler({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence}]}
    assert list(ArchiveUsage(archive).rows(*NOVEMBER)) == rows
    assert sequence in logged(meter)
    assert "secret-id" not in logged(meter)
    assert meter.handler({"Records": [poisoned]}, Context())["batchItemFailures"]


def test_if_s3_takes_nothing_the_whole_batch_comes_again(load, aws, make_row, change):
    aws.setenv("PAYPHONE_ARCHIVE_BUCKET", "nowhere")
    with pytest.raises(Exception, match="NoSuchBucket"):
        load("meter").handler({"Records": [change(make_row())]}, Context())


METER = """
import json, os, signal, sys
from types import SimpleNamespace
from functions.aws.s3 import Bucket
from functions.handlers import meter

before, left = sys.argv[1] == "before", int(sys.argv[2])
put = Bucket.put

def dying(bucket, name, data):
    global left
    left -= 1
    if left == 0 and before:
        os.kill(os.getpid(), signal.SIGKILL)
    put(bucket, name, data)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Bucket.put = dying
context = SimpleNamespace(
    function_name="meter", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 1000,
)
assert meter.handler(json.load(sys.stdin), context) == {"batchItemFailures": []}
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_9_of_the_meter_at_each_write_loses_and_doubles_nothing(
    archive, ledger_table, make_row, change, moment
):
    """The stream sends the batch again until an answer comes; here with another record, as a stream may."""
    rows = [make_row(at=NOON + n * 24 * HOUR) for n in range(3)]
    records = [change(row) for row in rows]
    died = 0
    for at in range(1, 6):
        batch = json.dumps({"Records": records[: 2 + at]})
        command = [sys.executable, "-c", METER, moment, str(at)]
        done = subprocess.run(command, input=batch, text=True, cwd=ROOT, capture_output=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        died += 1
    assert died == 3
    assert list(ArchiveUsage(archive).rows(*NOVEMBER)) == rows


@pytest.fixture
def billed(load, ledger_table, archive, make_row, change):
    """Rows of November, one of them taken back, in the ledger and through the stream in the archive."""
    rows = [make_row(at=NOON + n * 24 * HOUR, customer=f"cus_{'ab'[n % 2]}") for n in range(4)]
    rows.append(make_row(at=NOON + 1, state=VOID, revision=2))
    for row in rows:
        ledger_table.put_item(Item=row._asdict() | {"attempts": list(row.attempts)})
    load("meter").handler({"Records": [change(row) for row in rows]}, Context())
    return rows


@pytest.fixture
def kms(aws):
    """A KMS with one Ed25519 key, as far as sealing asks for it; moto has none. Gives its public half."""
    private = Ed25519PrivateKey.generate()
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    class Kms(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            operation = self.headers["x-amz-target"].removeprefix("TrentService.")
            assert self.headers["content-type"] == "application/x-amz-json-1.1"
            assert asked["KeyId"] == "arn:key"
            if operation == "Sign":
                assert (asked["SigningAlgorithm"], asked["MessageType"]) == ("ED25519_SHA_512", "RAW")
                answer = {"Signature": private.sign(base64.b64decode(asked["Message"]))}
            else:
                answer = {"PublicKey": {"GetPublicKey": spki}[operation]}
            body = json.dumps(
                {name: base64.b64encode(value).decode() for name, value in answer.items()}
            ).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Kms) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        aws.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.server_port}")
        aws.setenv("PAYPHONE_SEALING_KEY", "arn:key")
        yield private.public_key()
        server.shutdown()


@pytest.fixture
def seal(load, kms, monkeypatch):
    module = load("seal")

    def run(at=LATER, milliseconds=900_000):
        monkeypatch.setattr(module.time, "time_ns", lambda: at * 1_000_000)
        return module.handler({}, Context(milliseconds=milliseconds))

    run.module = module
    return run


def expiring(table):
    return {item["call_id"]: item.get("expires_at") for item in table.scan(ConsistentRead=True)["Items"]}


def test_days_are_sealed_as_they_settle(seal, billed):
    assert seal(NOON + 38 * HOUR)["days"] == []
    assert seal(NOON + 39 * HOUR)["days"] == ["2026-11-23"]
    assert seal(NOON + 39 * HOUR + 1) == {"days": [], "months": [], "ledger_has_more": {}, "moved": 0}


def test_seals_are_signed_by_the_key_in_kms(seal, billed, seals, kms):
    seal(NOON + 39 * HOUR)
    (head,) = seals.day("2026-11-23").customers.values()
    kms.verify(base64.b64decode(head.signature), head.signed())
    published = seals.keys()[head.key]
    assert base64.b64decode(published.public_key) == kms.public_bytes_raw()


def test_a_whole_month_is_sealed_and_its_rows_expire(seal, billed, archive, ledger_table):
    before = list(ArchiveUsage(archive).rows(*NOVEMBER))
    done = seal()
    assert (len(done["days"]), done["months"], done["moved"]) == (4, ["2026-11"], 0)
    at = LATER // 1000 + 30 * 24 * 3600
    assert expiring(ledger_table) == {row.call_id: at for row in billed}
    assert seal(LATER + 24 * HOUR) == {"days": [], "months": [], "ledger_has_more": {}, "moved": 0}
    assert expiring(ledger_table) == {row.call_id: at for row in billed}
    assert list(ArchiveUsage(archive).rows(*NOVEMBER)) == before == billed[:4]


def test_a_row_the_archive_lacks_keeps_the_month_open(seal, billed, make_row, ledger_table):
    lost = make_row(at=NOON + 5)
    ledger_table.put_item(Item=lost._asdict() | {"attempts": list(lost.attempts)})
    done = seal()
    assert (done["months"], done["ledger_has_more"]) == ([], {"2026-11-23": 1})
    assert set(expiring(ledger_table).values()) == {None}
    assert "not as many rows" in logged(seal.module)


def test_a_row_that_moved_after_its_seal_stays(seal, billed, ledger_table):
    seal(NOVEMBER[1] + 26 * HOUR)  # all days but not the month
    changed = billed[1]._replace(state=VOID, revision=2)
    ledger_table.put_item(Item=changed._asdict() | {"attempts": list(changed.attempts)})
    assert seal()["moved"] == 1
    kept = expiring(ledger_table)
    assert kept.pop(changed.call_id) is None
    assert None not in kept.values()


def test_what_there_was_no_time_for_is_done_the_next_night(seal, billed, ledger_table):
    assert seal(milliseconds=1000)["days"] == []
    done = seal()
    assert (len(done["days"]), done["months"]) == (4, ["2026-11"])


def test_a_row_that_is_used_again_does_not_expire(seal, billed, ledger_table):
    seal()
    row = billed[0]._replace(fingerprint="f", call_id="ik:1")
    ledger = DynamoDbLedger(ledger_table.name, dynamodb_in("eu-west-1"))
    ledger.append(row).outcome()
    ledger.close()
    assert expiring(ledger_table)["ik:1"] is None
