import threading

import pytest

from functions.metering.group import MAX_GROUP, PACE_GROUPS, QUICK_NS, GroupWriter
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


class Turns:
    """An event loop whose turns a test takes, and a disk that notes who wrote what."""

    def __init__(self):
        self.deferred = []
        self.written = []
        self.now, self.nanoseconds = 10**12, 0  # and what a write takes
        self.locked = False

    def clock(self):
        return self.now

    def defer(self, run):
        self.deferred.append(run)

    def write(self, group):
        self.written.append((threading.current_thread().name, group))
        return [None] * len(group)

    def attempt(self, group):
        if self.locked:
            raise BlockingIOError
        self.now += self.nanoseconds
        return self.write(group)

    def turn(self):
        due, self.deferred = self.deferred, []
        for run in due:
            run()

    def groups(self):
        """What this thread has written, and what the other."""
        mine = threading.current_thread().name
        others = [group for name, group in self.written if name != mine]
        return [group for name, group in self.written if name == mine], others


@pytest.fixture
def turns(monkeypatch):
    turns = Turns()
    monkeypatch.setattr("functions.metering.group.perf_counter_ns", turns.clock)
    return turns


@pytest.fixture
def in_turn(turns):
    writer = GroupWriter(turns.write, lambda: False, lambda run: run(), turns.defer, turns.attempt)
    yield writer
    writer.close()


def test_a_loop_writes_once_a_turn_brings_no_more(turns, in_turn):
    settled = []
    for number in range(3):
        in_turn.submit(number).on_settled(lambda number=number: settled.append(number))
    turns.turn()
    in_turn.submit(3)
    turns.turn()
    assert turns.written == []
    turns.turn()
    assert turns.groups() == ([[0, 1, 2, 3]], [])
    assert settled == [0, 1, 2]
    assert turns.deferred == []


def test_a_loop_waits_no_longer_than_a_millisecond_for_more(turns, in_turn):
    in_turn.submit(0)
    turns.turn()
    turns.now += 10**6
    in_turn.submit(1)
    turns.turn()
    assert turns.groups() == ([[0, 1]], [])


def test_a_loop_writes_a_large_group_in_several_turns(turns, in_turn):
    for number in range(2 * MAX_GROUP + 1):
        in_turn.submit(number)
    for _ in range(4):
        turns.turn()
    mine, others = turns.groups()
    assert [*map(len, mine)] == [MAX_GROUP, MAX_GROUP, 1]
    assert others == []


def test_a_large_group_on_a_disk_that_is_not_that_quick_is_left_to_the_thread(turns, in_turn):
    turns.nanoseconds = QUICK_NS - 1
    take_turns(turns, in_turn, 20)
    tickets = [in_turn.submit(number) for number in range(3 * MAX_GROUP)]
    while turns.deferred:
        turns.turn()
    for ticket in tickets:
        ticket.wait()
    mine, others = turns.groups()
    assert [*map(len, mine[20:])] == [MAX_GROUP]
    assert sum(map(len, others)) == 2 * MAX_GROUP


def take_turns(turns, writer, count):
    """Submit and wait for one entry after the other; which of them the loop wrote."""
    for number in range(count):
        ticket = writer.submit(number)
        while turns.deferred:
            turns.turn()
        assert ticket.wait() is None
    return [group[0] for group in turns.groups()[0]]


def test_a_slow_disk_is_left_to_the_thread_and_tried_again_ever_later(turns, in_turn):
    turns.nanoseconds = 3 * QUICK_NS
    mine = take_turns(turns, in_turn, 2 * PACE_GROUPS)
    assert mine == [*range(len(mine))]
    assert 0 < len(mine) < PACE_GROUPS
    for seconds in (1, 2, 4):  # and each time twice as late
        turns.now += (seconds * 1000 - 100) * 10**6
        assert take_turns(turns, in_turn, 5) == mine
        turns.now += 100 * 10**6
        mine.append(0)
        assert take_turns(turns, in_turn, 5) == mine
    turns.now += 8 * 10**9
    turns.nanoseconds = 0
    assert len(take_turns(turns, in_turn, 50)) > len(mine) + 40
    turns.nanoseconds = 100 * QUICK_NS
    mine = take_turns(turns, in_turn, 5)
    turns.now += 10**9
    assert len(take_turns(turns, in_turn, 5)) == len(mine) + 1


def test_a_slow_write_among_quick_ones_is_no_slow_disk(turns, in_turn):
    take_turns(turns, in_turn, 5)
    turns.nanoseconds = QUICK_NS * PACE_GROUPS // 2
    take_turns(turns, in_turn, 1)
    turns.nanoseconds = 0
    assert len(take_turns(turns, in_turn, 5)) == 11


def test_what_would_have_to_wait_for_another_process_is_left_to_the_thread(turns, in_turn):
    turns.locked = True
    assert take_turns(turns, in_turn, 3) == []
    turns.locked = False
    assert take_turns(turns, in_turn, 3) == []
    turns.now += 10**9
    assert take_turns(turns, in_turn, 3) == [0, 1, 2]


def test_a_loop_that_failed_has_the_thread_try_again():
    owed, tried, deferred = [], threading.Event(), []

    def attempt(group):
        owed.extend(group)
        raise OSError("no room")

    def write(group):
        owed.clear()
        tried.set()
        return [None] * len(group)

    writer = GroupWriter(write, lambda: bool(owed), lambda run: run(), deferred.append, attempt)
    ticket = writer.submit(1)
    while deferred:
        deferred.pop()()
    with pytest.raises(LedgerUnavailable, match="no room"):
        ticket.wait()
    assert tried.wait(30)
    writer.close()
