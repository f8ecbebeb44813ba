import gzip
import json

import pytest

from functions.metering.archive import Archive, ArchiveDamaged
from functions.metering.archived import ArchiveUsage
from functions.metering.event import VOID
from functions.metering.usage import UsageBucket, day_of, day_start, month_span

DAY = 24 * 3600 * 1000
NOVEMBER = month_span("2026-11")
DECEMBER = month_span("2026-12")


def names(s3, prefix="usage/"):
    return [found.key for found in s3.objects.filter(Prefix=prefix)]


def test_rows_lie_by_their_day_as_json_lines(archive, s3, make_row, record):
    first, second = make_row(), make_row(at=NOVEMBER[1])
    archive.write(record([first, second]))
    [one, other] = names(s3)
    assert one.startswith("usage/day=2026-11-23/100-100-")
    assert other.startswith("usage/day=2026-12-01/101-101-")
    [line] = gzip.decompress(s3.Object(one).get()["Body"].read()).splitlines()
    assert json.loads(line) == first._asdict() | {"attempts": list(first.attempts)}


def test_a_batch_that_comes_again_or_is_split_changes_nothing(archive, s3, make_row, record):
    rows = [make_row(at=NOVEMBER[1] - 5 + n) for n in range(10)]  # across the end of a month
    records = record(rows)
    archive.write(records)
    kept = names(s3)
    archive.write(records)
    assert names(s3) == kept
    archive.write(records[:3])
    archive.write(records[3:])
    assert len(names(s3)) > len(kept)
    usage = ArchiveUsage(archive)
    assert list(usage.rows(*NOVEMBER)) == rows[:5]
    assert list(usage.rows(*DECEMBER)) == rows[5:]
    assert list(usage.rows(NOVEMBER[0], DECEMBER[1])) == rows


def test_the_last_state_of_a_call_counts_in_whatever_order_it_came(archive, make_row, record):
    billed = make_row("a1")
    void = billed._replace(state=VOID, revision=2)
    claimed = billed._replace(attempts=("a2", "a1"), revision=3)
    taken_back = make_row("b1")
    archive.write(record([claimed, taken_back._replace(state=VOID, revision=2)]))
    archive.write(record([void]))
    archive.write(record([billed, taken_back]))
    assert list(ArchiveUsage(archive).rows(*NOVEMBER)) == [claimed]
    assert [row.state for row in archive.merged(archive.objects("2026-11-23"))] == ["live", "void"]


def test_rows_of_a_span_and_of_a_customer(archive, make_row, record):
    rows = [make_row(at=NOVEMBER[0] + n * DAY, customer=f"cus_{'ab'[n % 2]}") for n in range(30)]
    archive.write(record(rows))
    usage = ArchiveUsage(archive)
    assert list(usage.rows(*NOVEMBER)) == rows
    assert list(usage.rows(*NOVEMBER, "cus_b")) == rows[1::2]
    assert list(usage.rows(rows[3].started_at, rows[5].started_at)) == rows[3:5]
    assert list(usage.rows(*DECEMBER)) == []


def test_buckets_count_the_same_rows(archive, make_row, record):
    rows = [make_row(), make_row(units=5), make_row(plan="pro@02")]
    archive.write(record(rows))
    assert ArchiveUsage(archive).buckets(*NOVEMBER) == [
        UsageBucket("cus_a", plan, "sentiment", "1", "predict", "2026-11-23", calls, units, first.started_at)
        for plan, calls, units, first in (("pro@02", 1, 2, rows[2]), ("starter@01", 2, 7, rows[0]))
    ]


def test_more_objects_than_a_listing_has_on_a_page(archive, s3, make_row, record):
    for rows in range(30):
        archive.write(record([make_row(at=NOVEMBER[0] + rows)]))
    client, page = s3.meta.client, []
    listing = archive.bucket._start

    def small_pages(method, path, query=None, **more):
        if query and "list-type" in query:
            page.append(1)
            query = {**query, "max-keys": "7"}
        return listing(method, path, query=query, **more)

    archive.bucket._start = small_pages
    assert len(archive.objects("2026-11-01")) == 30
    assert len(page) == 5
    assert client.list_objects_v2(Bucket=s3.name)["KeyCount"] == 30


@pytest.mark.parametrize(
    "data",
    [
        b"no gzip",
        gzip.compress(b"no json\n"),
        gzip.compress(b"{}\n"),
        gzip.compress(b"[]\n"),
        gzip.compress(b"{}\n")[:-4],
    ],
)
def test_a_damaged_object_is_named_and_nothing_is_counted(archive, s3, data):
    s3.put_object(Key="usage/day=2026-11-23/1-1-x.jsonl.gz", Body=data)
    with pytest.raises(ArchiveDamaged, match="1-1-x"):
        list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_a_row_of_other_types_is_no_row(archive, s3, make_row):
    for change in ({"units": "2"}, {"units": True}, {"state": "paid"}, {"attempts": None}):
        line = json.dumps(make_row("a")._asdict() | change).encode()
        s3.put_object(Key="usage/day=2026-11-23/1-1-x.jsonl.gz", Body=gzip.compress(line))
        with pytest.raises(ArchiveDamaged):
            list(ArchiveUsage(archive).rows(*NOVEMBER))


def test_without_the_bucket_nothing_is_taken_for_empty(archive):
    from functions.aws.s3 import Bucket
    from functions.aws.service import Rejected

    with pytest.raises(Rejected, match="NoSuchBucket"):
        list(ArchiveUsage(Archive(Bucket("nowhere", "eu-west-1"))).rows(*NOVEMBER))


def test_days_are_utc():
    assert day_of(NOVEMBER[1] - 1) == "2026-11-30"
    assert day_of(NOVEMBER[1]) == "2026-12-01"
    assert day_start("2026-12-01") == NOVEMBER[1]
