import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.metering.accesslog import DAY_MS, AccessLog, AccessRecord, Torn, read

NOON = 1_800_000_000_000 // DAY_MS * DAY_MS + DAY_MS // 2
RECORD = AccessRecord(NOON, "req", "attempt", "key_1", "POST", "/v1/models/m/predict", "m", 200, 120, 3)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "access"


@pytest.fixture
def access_log(folder):
    log = AccessLog(folder)
    yield log
    log.close()


def everything(folder):
    return list(read(folder, NOON - 2 * DAY_MS, NOON + 2 * DAY_MS))


def test_records_come_back_as_they_were_written(access_log, folder):
    records = [RECORD, RECORD._replace(path='/v1/"\n\\é\x00', key_id="", status=404, time=NOON + 1)]
    access_log.write(*records)
    assert everything(folder) == records


def test_a_line_holds_the_fields_of_the_gateway_log(access_log, folder):
    access_log.write(RECORD)
    (file,) = folder.iterdir()
    assert json.loads(file.read_text()) == RECORD._asdict()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_utc_day_has_its_file(access_log, folder):
    midnight = NOON // DAY_MS * DAY_MS
    records = [RECORD._replace(time=time) for time in (midnight - 1, midnight, midnight + DAY_MS - 1)]
    access_log.write(*records)
    assert sorted(file.name for file in folder.iterdir()) == ["2027-01-14.jsonl", "2027-01-15.jsonl"]
    assert list(read(folder, midnight, midnight + DAY_MS)) == records[1:]
    assert list(read(folder, midnight - 1, midnight)) == records[:1]


def test_a_line_cut_short_is_reported_and_costs_no_other(folder):
    before = AccessLog(folder)
    before.write(RECORD, RECORD)
    before.close()
    (file,) = folder.iterdir()
    os.truncate(file, file.stat().st_size - 20)
    after = AccessLog(folder)
    after.write(RECORD._replace(time=NOON + 1))
    after.close()
    assert everything(folder) == [RECORD, Torn(str(file), 2), RECORD._replace(time=NOON + 1)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps(RECORD._replace(status="200")._asdict()).encode(),
        json.dumps(RECORD._replace(time=True)._asdict()).encode(),
    ],
    ids=["empty", "null", "no fields", "deep", "not UTF-8", "text status", "boolean time"],
)
def test_a_foreign_line_is_reported(access_log, folder, line):
    access_log.write(RECORD)
    (file,) = folder.iterdir()
    with file.open("ab") as other:
        other.write(line + b"\n")
    access_log.write(RECORD)
    assert everything(folder) == [RECORD, Torn(str(file), 2), RECORD]


def test_a_day_without_a_file_is_empty(access_log, folder):
    assert everything(folder) == []


def test_threads_do_not_mix_their_lines(access_log, folder):
    with ThreadPoolExecutor(8) as pool:
        for thread in range(8):
            record = RECORD._replace(request_id=f"{thread}" * 300)
            for _ in range(50):
                pool.submit(access_log.write, record, record)
    records = everything(folder)
    assert len(records) == 800
    assert {record.request_id for record in records} == {f"{thread}" * 300 for thread in range(8)}


FULL_DISK = """
import json, logging, resource, sys
from pathlib import Path
from functions.metering.accesslog import AccessLog, AccessRecord

logging.basicConfig(format="%(message)s")
record = AccessRecord(**json.loads(sys.stdin.read()))
log = AccessLog(Path(sys.argv[1]))
log.write(record)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for _ in range(5):
    log.write(record)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write(record)
log.close()
sys.stdout.write(str(log.lost))
"""


def test_a_full_disk_fails_no_call_and_is_reported_once(folder):
    line = len(json.dumps(RECORD._asdict(), separators=(",", ":"))) + 1
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, folder, str(line + line // 2)],  # room for one and a half
        input=json.dumps(RECORD._asdict()),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "5"
    assert done.stderr.count("the access log can't be written") == 1
    found = everything(folder)
    assert [type(item) for item in found] == [AccessRecord, Torn, AccessRecord]
