import gzip
import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.metering.archive import ArchiveDamaged
from functions.metering.archived import ArchiveUsage
from functions.metering.canonical import canonical_row
from functions.metering.event import VOID
from functions.metering.merkle import leaf_hash, root_hash
from functions.metering.seals import Sealed, Seals
from functions.metering.usage import month_span

NOVEMBER = month_span("2026-11")
NOON = 1_795_435_200_000
DAY = "2026-11-23"
HOUR = 3600 * 1000


@pytest.fixture
def seals(archive):
    return Seals(archive)


def naive_root(entries):
    """RFC 9162, 2.1.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return sha256(b"\1" + naive_root(entries[:split]) + naive_root(entries[split:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_root_is_that_of_the_rfc(entries):
    assert root_hash(entries) == naive_root(entries)


def test_a_published_example():
    """The first two roots of the test vectors of Certificate Transparency's reference implementation."""
    assert root_hash([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_hash([b""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"") == root_hash([b""])


def test_a_day_is_due_once_nothing_in_it_can_change(archive, seals, make_row, record):
    archive.write(record([make_row()]))
    end = NOON + 12 * HOUR
    assert seals.due(end + 27 * HOUR - 1) == []
    assert seals.due(end + 27 * HOUR) == [DAY]
    seals.seal(DAY)
    assert seals.due(end + 27 * HOUR) == []


def test_a_seal_holds_the_live_rows_of_each_customer(archive, seals, s3, make_row, record):
    mine, theirs = [make_row(), make_row(at=NOON + 1)], make_row(customer="cus_b")
    gone = make_row(state=VOID, revision=2)
    archive.write(record([*mine, theirs, gone]))
    seal = seals.seal(DAY)
    assert seal == seals.day(DAY)
    assert (seal.rows, seal.void) == (4, 1)
    assert seal.customers == {
        "cus_a": Sealed(2, root_hash(map(canonical_row, mine)).hex()),
        "cus_b": Sealed(1, leaf_hash(canonical_row(theirs)).hex()),
    }
    data = s3.Object(f"seals/2026-11/{DAY}/cus_a.json.gz").get()["Body"].read()
    document = json.loads(gzip.decompress(data))
    assert (document["count"], document["root"]) == seal.customers["cus_a"]
    assert [row["call_id"] for row in document["rows"]] == [row.call_id for row in mine]


def test_usage_reads_seals_and_open_days_and_none_twice(archive, seals, s3, make_row, record):
    rows = [make_row(at=NOVEMBER[0] + n * 24 * HOUR) for n in range(4)]
    archive.write(record(rows))
    usage = ArchiveUsage(archive)
    before = list(usage.rows(*NOVEMBER)), usage.buckets(*NOVEMBER)
    for day in ("2026-11-01", "2026-11-03"):
        seals.seal(day)
    assert (list(usage.rows(*NOVEMBER)), usage.buckets(*NOVEMBER)) == before
    archive.write(record([make_row("late", at=NOVEMBER[0] + 1)]))  # its day is sealed: not billed
    assert list(usage.rows(*NOVEMBER)) == rows
    assert list(usage.rows(*NOVEMBER, "cus_b")) == []


def test_what_a_crash_left_is_not_in_force_and_is_made_anew(archive, seals, s3, make_row, record):
    archive.write(record([make_row("a1")]))
    seals.seal(DAY)
    index = s3.Object(f"seals/index/2026-11/{DAY}.json")
    index.delete()  # as if the function had ended before it was written
    archive.write(record([make_row("a2")]))
    assert seals.days("2026-11") == set()
    assert len(list(ArchiveUsage(archive).rows(*NOVEMBER))) == 2
    assert seals.seal(DAY).customers["cus_a"].rows == 2
    assert len(list(ArchiveUsage(archive).rows(*NOVEMBER))) == 2


@pytest.mark.parametrize("change", [{"units": 3}, {"customer": "cus_b"}, {"state": VOID}])
def test_a_seal_that_was_changed_is_found_out(archive, seals, s3, make_row, record, change):
    archive.write(record([make_row()]))
    seals.seal(DAY)
    stored = s3.Object(f"seals/2026-11/{DAY}/cus_a.json.gz")
    document = json.loads(gzip.decompress(stored.get()["Body"].read()))
    document["rows"][0] |= change
    stored.put(Body=gzip.compress(json.dumps(document).encode()))
    with pytest.raises(ArchiveDamaged, match="not what was sealed"):
        list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_a_row_that_is_missing_from_a_seal_is_missed(archive, seals, s3, make_row, record):
    archive.write(record([make_row(), make_row()]))
    seals.seal(DAY)
    stored = s3.Object(f"seals/2026-11/{DAY}/cus_a.json.gz")
    document = json.loads(gzip.decompress(stored.get()["Body"].read()))
    del document["rows"][0]
    stored.put(Body=gzip.compress(json.dumps(document).encode()))
    with pytest.raises(ArchiveDamaged):
        list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_a_replay_changes_no_root(make_row):
    row = make_row()
    replayed = row._replace(attempts=(*row.attempts, "again"), revision=2)
    assert canonical_row(replayed) == canonical_row(row)


def test_a_month_is_sealed_only_if_the_ledger_has_as_many_rows(archive, seals, make_row, record):
    archive.write(record([make_row(), make_row(state=VOID, revision=2)]))
    seals.seal(DAY)
    assert seals.seal_month("2026-11", {DAY: 3}, 7) == {DAY: 1}
    assert seals.seal_month("2026-11", {}, 7) == {DAY: -2}
    assert seals.seal_month("2026-11", {DAY: 2, "2026-11-24": 1}, 7) == {"2026-11-24": 1}
    assert seals.month("2026-11") is None
    assert seals.seal_month("2026-11", {DAY: 2}, 7) == {}
    assert seals.month("2026-11") == {"month": "2026-11", "expires_at": 7, "days": {DAY: 2}}
