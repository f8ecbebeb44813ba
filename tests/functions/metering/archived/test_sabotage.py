"""The stream as it may come: in other batches, doubled, late, in another order, with holes and damage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.metering.archive import Archive, ArchiveDamaged, Recorded, day_of
from functions.metering.event import LIVE, VOID, UsageEvent
from models.store import LocalStore

NOON = 1_795_435_200_000
DAY = day_of(NOON)


class Folder(LocalStore):
    """A bucket on this disk."""

    def folders(self, prefix):
        return sorted({name.removeprefix(prefix).partition("/")[0] for name in self.list(prefix)})


@st.composite
def histories(draw):
    """Calls, each with the states it went through, in one stream that keeps each call's own order."""
    pending = []
    for number in range(draw(st.integers(1, 6))):
        states = draw(st.lists(st.sampled_from([LIVE, VOID]), min_size=1, max_size=4))
        row = UsageEvent(
            f"gw:{number}",
            (f"a{number}",),
            "key_1",
            "cus_a",
            "p@1",
            "m",
            "1",
            "predict",
            1,
            1,
            NOON + number,
            "",
        )
        pending.append([row._replace(state=s, revision=n + 1) for n, s in enumerate(states)])
    last = {rows[-1].call_id: rows[-1] for rows in pending}
    stream = []
    while pending:
        rows = draw(st.sampled_from(pending))
        stream.append(Recorded(str(100 + len(stream)), rows.pop(0)))
        pending = [rows for rows in pending if rows]
    return stream, last


def cut(data, stream):
    """The stream as batches of whatever size."""
    ends = sorted(data.draw(st.sets(st.integers(1, len(stream)), max_size=4)) | {len(stream)})
    starts = [0, *ends[:-1]]
    return [stream[a:b] for a, b in zip(starts, ends, strict=True) if a < b]


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_batches_cut_doubled_late_and_in_any_order_hold_the_same_calls(tmp_path_factory, history, data):
    stream, last = history
    archive = Archive(Folder(tmp_path_factory.mktemp("archive")))
    batches = cut(data, stream) + cut(data, stream)
    for batch in data.draw(st.permutations(batches)):
        archive.write(batch)
    assert {row.call_id: row for row in archive.calls(DAY)} == last


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_of_what_is_lost_on_the_way_nothing_is_made_up(tmp_path_factory, history, data):
    """Each call is as it was at some moment, once or not at all; a month's counts say which ones miss."""
    stream, last = history
    archive = Archive(Folder(tmp_path_factory.mktemp("archive")))
    batches = cut(data, stream)
    kept = [batch for batch in batches if data.draw(st.booleans())]
    for batch in kept:
        archive.write(batch)
    found = [*archive.calls(DAY)]
    assert len({row.call_id for row in found}) == len(found)
    assert {*found} <= {record.row for batch in kept for record in batch}
    assert len(found) < len(last) or {row.call_id for row in found} == {*last}


def test_each_byte_of_an_object_matters_or_changes_no_row(tmp_path):
    archive = Archive(Folder(tmp_path))
    rows = [
        UsageEvent(f"gw:{n}", (f"a{n}",), "key_1", "cus_a", "p@1", "m", "1", "predict", n, 1, NOON + n, "")
        for n in (1, 2)
    ]
    archive.write(Recorded(str(n), row) for n, row in enumerate(rows))
    (name,) = archive.objects(DAY)
    path, data = tmp_path / name, (tmp_path / name).read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            found = [*archive.calls(DAY)]
        except ArchiveDamaged as error:
            assert name in str(error)
        else:
            assert found == rows, at
    path.write_bytes(data[:-20])
    with pytest.raises(ArchiveDamaged):
        [*archive.calls(DAY)]
