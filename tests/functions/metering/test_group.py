import threading

import pytest

from functions.metering.group import MAX_GROUP, GroupWriter
from functions.metering.ledger import LedgerUnavailable


class Disk:
    """Notes the groups it is given; waits where it is told to."""

    def __init__(self):
        self.groups = []
        self.ready = threading.Event()
        self.ready.set()

    def write(self, group):
        self.ready.wait()
        self.groups.append(group)
        return [None] * len(group)


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def writer(disk):
    writer = GroupWriter(disk.write, lambda: False, lambda run: run())
    yield writer
    disk.ready.set()
    writer.close()


def test_what_gathers_while_one_group_is_written_is_the_next_group(disk, writer):
    disk.ready.clear()
    tickets = [writer.submit(number) for number in range(3 * MAX_GROUP)]
    disk.ready.set()
    for ticket in tickets:
        ticket.wait()
    assert [entry for group in disk.groups for entry in group] == list(range(3 * MAX_GROUP))
    assert max(map(len, disk.groups)) <= MAX_GROUP
    assert len(disk.groups) <= 5


def test_a_writer_goes_on_after_a_group_that_failed():
    def write(group):
        if "bad" in group:
            raise OSError("no room")
        return [None] * len(group)

    writer = GroupWriter(write, lambda: False, lambda run: run())
    with pytest.raises(LedgerUnavailable, match="no room"):
        writer.submit("bad").wait()
    assert writer.submit("good").wait() is None
    writer.close()


def test_a_callback_that_fails_harms_no_other(disk, writer, caplog):
    disk.ready.clear()
    tickets, called = [writer.submit(number) for number in range(3)], threading.Event()
    tickets[0].on_settled(lambda: 1 / 0)
    tickets[0].on_settled(lambda: {}["missing"])
    tickets[-1].on_settled(called.set)
    disk.ready.set()
    assert called.wait(30)
    assert writer.submit(4).wait() is None
    assert "a callback of a ledger ticket failed" in caplog.text


def test_a_loop_that_is_closed_does_not_stop_the_writer(disk):
    def closed(run):
        raise RuntimeError("Event loop is closed")

    writer = GroupWriter(disk.write, lambda: False, closed)
    assert writer.submit(1).wait() is None
    assert writer.submit(2).wait() is None
    writer.close()


def test_what_is_pending_is_tried_again_without_a_new_entry():
    groups, tried = [], threading.Event()

    def write(group):
        groups.append(group)
        if not group:
            tried.set()
        return [None] * len(group)

    writer = GroupWriter(write, lambda: not tried.is_set(), lambda run: run())
    assert tried.wait(30)
    writer.close()
    assert groups[0] == []


def test_closing_writes_what_is_queued_and_refuses_the_rest(disk, writer):
    disk.ready.clear()
    tickets = [writer.submit(number) for number in range(5)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    disk.ready.set()
    closing.join()
    writer.close()
    assert [ticket.wait() for ticket in tickets] == [None] * 5
    with pytest.raises(LedgerUnavailable, match="closed"):
        writer.submit(6).wait()


def test_what_is_submitted_in_one_turn_is_handed_over_at_its_end(disk):
    turns = []
    writer = GroupWriter(disk.write, lambda: False, lambda run: run(), turns.append)
    tickets = [writer.submit(number) for number in range(5)]
    assert len(turns) == 1
    turns.pop()()
    for ticket in tickets:
        ticket.wait()
    assert disk.groups[0] == [0, 1, 2, 3, 4]
    writer.submit(5)
    assert len(turns) == 1
    writer.close()


def test_closing_writes_what_no_turn_has_handed_over(disk):
    turns = []
    writer = GroupWriter(disk.write, lambda: False, lambda run: run(), turns.append)
    ticket = writer.submit("late")
    writer.close()
    ticket.wait()
    turns.pop()()
    assert disk.groups == [["late"]]


def test_without_a_next_turn_it_is_handed_over_at_once(disk):
    def closed(run):
        raise RuntimeError("Event loop is closed")

    writer = GroupWriter(disk.write, lambda: False, lambda run: run(), closed)
    writer.submit("at once").wait()
    writer.close()
    assert disk.groups[0] == ["at once"]
