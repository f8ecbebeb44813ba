import gzip
import json

import pytest

from functions.metering.archive import ArchiveDamaged
from functions.metering.archived import ArchiveUsage
from functions.metering.canonical import canonical_row
from functions.metering.event import VOID
from functions.metering.merkle import leaf_hash, root_hash
from functions.metering.seals import object_name
from functions.metering.signing import is_signed
from functions.metering.usage import month_span

NOVEMBER = month_span("2026-11")
NOON = 1_795_435_200_000
DAY = "2026-11-23"
HOUR = 3600 * 1000


def stored(s3, head):
    return s3.Object(object_name(head))


def test_a_day_is_due_once_nothing_in_it_can_change(archive, seals, sealer, make_row, record):
    archive.write(record([make_row()]))
    end = NOON + 12 * HOUR
    assert sealer.due(end + 27 * HOUR - 1) == []
    assert sealer.due(end + 27 * HOUR) == [DAY]
    sealer.seal(DAY)
    assert sealer.due(end + 27 * HOUR) == []


def test_a_seal_holds_the_live_rows_of_each_customer(archive, seals, sealer, s3, make_row, record):
    mine, theirs = [make_row(), make_row(at=NOON + 1)], make_row(customer="cus_b")
    gone = make_row(state=VOID, revision=2)
    archive.write(record([*mine, theirs, gone]))
    seal = sealer.seal(DAY)
    assert seal == seals.day(DAY)
    assert (seal.rows, seal.void) == (4, 1)
    assert {customer: (head.size, head.root) for customer, head in seal.customers.items()} == {
        "cus_a": (2, root_hash(map(canonical_row, mine)).hex()),
        "cus_b": (1, leaf_hash(canonical_row(theirs)).hex()),
    }
    head = seal.customers["cus_a"]
    document = json.loads(gzip.decompress(stored(s3, head).get()["Body"].read()))
    assert (document["count"], document["root"]) == (head.size, head.root)
    (key,) = seals.keys().values()
    assert is_signed(key.public_key, head.signature, head.signed())
    assert not is_signed(key.public_key, head.signature, head._replace(size=3).signed())
    assert [row["call_id"] for row in document["rows"]] == [row.call_id for row in mine]


def test_usage_reads_seals_and_open_days_and_none_twice(archive, seals, sealer, s3, make_row, record):
    rows = [make_row(at=NOVEMBER[0] + n * 24 * HOUR) for n in range(4)]
    archive.write(record(rows))
    usage = ArchiveUsage(archive)
    before = list(usage.rows(*NOVEMBER)), usage.buckets(*NOVEMBER)
    for day in ("2026-11-01", "2026-11-03"):
        sealer.seal(day)
    assert (list(usage.rows(*NOVEMBER)), usage.buckets(*NOVEMBER)) == before
    archive.write(record([make_row("late", at=NOVEMBER[0] + 1)]))  # its day is sealed: not billed
    assert list(usage.rows(*NOVEMBER)) == rows
    assert list(usage.rows(*NOVEMBER, "cus_b")) == []


def test_what_a_crash_left_is_not_in_force_and_is_made_anew(archive, seals, sealer, s3, make_row, record):
    archive.write(record([make_row("a1")]))
    sealer.seal(DAY)
    index = s3.Object(f"seals/index/2026-11/{DAY}.json")
    index.delete()  # as if the function had ended before it was written
    archive.write(record([make_row("a2")]))
    assert seals.days("2026-11") == set()
    assert len(list(ArchiveUsage(archive).rows(*NOVEMBER))) == 2
    assert sealer.seal(DAY).customers["cus_a"].size == 2
    assert len(list(ArchiveUsage(archive).rows(*NOVEMBER))) == 2


@pytest.mark.parametrize("change", [{"units": 3}, {"customer": "cus_b"}, {"state": VOID}])
def test_a_seal_that_was_changed_is_found_out(archive, seals, sealer, s3, make_row, record, change):
    archive.write(record([make_row()]))
    sealer.seal(DAY)
    kept = stored(s3, seals.day(DAY).customers["cus_a"])
    document = json.loads(gzip.decompress(kept.get()["Body"].read()))
    document["rows"][0] |= change
    kept.put(Body=gzip.compress(json.dumps(document).encode()))
    with pytest.raises(ArchiveDamaged, match="not what was sealed"):
        list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_a_row_that_is_missing_from_a_seal_is_missed(archive, seals, sealer, s3, make_row, record):
    archive.write(record([make_row(), make_row()]))
    sealer.seal(DAY)
    kept = stored(s3, seals.day(DAY).customers["cus_a"])
    document = json.loads(gzip.decompress(kept.get()["Body"].read()))
    del document["rows"][0]
    kept.put(Body=gzip.compress(json.dumps(document).encode()))
    with pytest.raises(ArchiveDamaged):
        list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_a_replay_changes_no_root(make_row):
    row = make_row()
    replayed = row._replace(attempts=(*row.attempts, "again"), revision=2)
    assert canonical_row(replayed) == canonical_row(row)


def test_a_month_is_sealed_only_if_the_ledger_has_as_many_rows(archive, seals, sealer, make_row, record):
    archive.write(record([make_row(), make_row(state=VOID, revision=2)]))
    sealer.seal(DAY)
    assert seals.seal_month("2026-11", {DAY: 3}, 7) == {DAY: 1}
    assert seals.seal_month("2026-11", {}, 7) == {DAY: -2}
    assert seals.seal_month("2026-11", {DAY: 2, "2026-11-24": 1}, 7) == {"2026-11-24": 1}
    assert seals.month("2026-11") is None
    assert seals.seal_month("2026-11", {DAY: 2}, 7) == {}
    assert seals.month("2026-11") == {"month": "2026-11", "expires_at": 7, "days": {DAY: 2}}
