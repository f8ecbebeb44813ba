import os
import re
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from functions.access import keys
from functions.access.keys import LookupUnavailable, Plan
from functions.access.sqlite import CACHED_KEYS, NotRotatable, SqliteKeys, UnknownKey, UnknownPlan

ROOT = Path(__file__).parents[3]
STANDARD = Plan("standard", "0f3c", 10.0, 20, 1000)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "keys.db")


@pytest.fixture
def store(path):
    with closing(SqliteKeys(path)) as opened:
        opened.set_plan(STANDARD)
        yield opened


def now_ms():
    return time.time_ns() // 1_000_000


def found(store, key):
    return store.find(keys.digest(key))


def in_another_process(path, code):
    subprocess.run(
        [sys.executable, "-c", f"from functions.access.sqlite import *; keys = SqliteKeys({path!r}); {code}"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_an_issued_key_opens_what_it_was_issued_for(store):
    key, record = store.issue("cus_a", "standard", ["sentiment"])
    assert found(store, key) == record
    assert re.fullmatch(r"key_[0-9A-Za-z]{16}", record.key_id)
    assert (record.customer, record.plan, record.models) == ("cus_a", STANDARD, ("sentiment",))
    assert record.usable(now_ms())
    assert record.may_call("sentiment")
    assert not record.may_call("digits")


def test_a_key_is_never_in_the_files(store, path):
    clear = [store.issue("cus_a", "standard")[0]]
    clear.append(store.rotate(found(store, clear[0]).key_id, 1000)[0])
    for file in Path(path).parent.iterdir():
        data = file.read_bytes()
        assert not any(key.encode() in data or key[8:40].encode() in data for key in clear)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_was_never_issued_is_not_found(store):
    assert found(store, keys.generate()) is None


def test_a_typo_costs_no_look_up(store):
    key, _ = store.issue("cus_a", "standard")
    for place in range(len(keys.PREFIX), len(key)):
        other = "a" if key[place] != "a" else "b"
        assert keys.digest(key[:place] + other + key[place + 1 :]) is None


def test_an_issued_key_is_found_though_it_was_looked_for_before(store, path):
    with closing(SqliteKeys(path)) as server:
        early, _ = store.issue("cus_a", "standard")
        assert found(server, early)
        key, record = store.issue("cus_b", "standard")
        assert found(server, key) == record


def test_revocation_in_another_process_is_seen_at_the_next_look_up(store, path):
    key, record = store.issue("cus_a", "standard")
    assert found(store, key).usable(now_ms())
    in_another_process(path, f"keys.revoke({record.key_id!r})")
    assert not found(store, key).usable(now_ms())


def test_a_plan_changed_in_another_process_is_seen_at_the_next_look_up(store, path):
    key, _ = store.issue("cus_a", "standard")
    assert found(store, key).plan == STANDARD
    in_another_process(path, "keys.set_plan(Plan('standard', '77aa', 0, 0, 5))")
    assert found(store, key).plan == Plan("standard", "77aa", 0.0, 0, 5)


def test_revoking_again_changes_nothing(store):
    _, record = store.issue("cus_a", "standard")
    first = store.revoke(record.key_id)
    assert first.revoked_at >= record.created_at
    time.sleep(0.002)
    assert store.revoke(record.key_id) == first


def test_a_rotated_key_lives_on_through_its_grace(store):
    key, record = store.issue("cus_a", "standard", ["sentiment"])
    new_key, new = store.rotate(record.key_id, 60_000)
    old = found(store, key)
    assert old.usable(now_ms())
    assert not old.usable(now_ms() + 60_000)
    assert found(store, new_key) == new
    assert new_key != key
    assert new.key_id != record.key_id
    assert (new.customer, new.plan, new.models, new.expires_at) == ("cus_a", STANDARD, ("sentiment",), 0)


def test_a_grace_of_nothing_ends_a_key_at_once(store):
    key, record = store.issue("cus_a", "standard")
    store.rotate(record.key_id, 0)
    assert not found(store, key).usable(now_ms())


def test_rotation_does_not_extend_a_key_that_was_to_end(store):
    ends = now_ms() + 30_000
    key, record = store.issue("cus_a", "standard", expires_at=ends)
    _, new = store.rotate(record.key_id, 60_000)
    assert found(store, key).expires_at == new.expires_at == ends


def test_a_closed_key_is_not_rotated(store):
    _, revoked = store.issue("cus_a", "standard")
    store.revoke(revoked.key_id)
    with pytest.raises(NotRotatable, match=r"revoked: issue a new key"):
        store.rotate(revoked.key_id, 0)
    _, expired = store.issue("cus_a", "standard", expires_at=1)
    with pytest.raises(NotRotatable, match=r"expired: issue a new key"):
        store.rotate(expired.key_id, 0)
    assert len(store.list()) == 2


def test_a_key_is_rotated_once(store):
    _, record = store.issue("cus_a", "standard")
    _, new = store.rotate(record.key_id, 60_000)
    with pytest.raises(NotRotatable, match=new.key_id):
        store.rotate(record.key_id, 60_000)
    assert len(store.list()) == 2


def test_a_grace_below_zero_is_refused(store):
    _, record = store.issue("cus_a", "standard")
    with pytest.raises(ValueError, match="-1"):
        store.rotate(record.key_id, -1)


def test_an_unknown_key_or_plan_says_what_to_do(store):
    for operation in (store.revoke, store.get, lambda key_id: store.rotate(key_id, 0)):
        with pytest.raises(UnknownKey) as error:
            operation("key_none")
        assert "key_none" in str(error.value)
        assert "payphone key list" in str(error.value)
    with pytest.raises(UnknownPlan) as missing:
        store.issue("cus_a", "gold")
    assert "'gold'" in str(missing.value)
    assert "standard" in str(missing.value)


def test_keys_are_listed_by_age_and_by_customer(store):
    issued = [store.issue(customer, "standard")[1] for customer in ("cus_a", "cus_b", "cus_a")]
    assert list(store.list()) == issued
    assert list(store.list("cus_a")) == [issued[0], issued[2]]
    assert store.get(issued[1].key_id) == issued[1]


def test_plans_are_listed_as_they_are_in_force(store):
    newer, free = STANDARD._replace(version="77aa"), Plan("free", "1", 0.0, 0, 0)
    store.set_plan(newer)
    store.set_plan(free)
    assert list(store.plans()) == [free, newer]


@pytest.mark.parametrize(
    "plan",
    [
        Plan("", "1", 0, 0, 0),
        Plan("a@b", "1", 0, 0, 0),
        Plan("a", "1", -1, 1, 0),
        Plan("a", "1", 5, 0, 0),
        Plan("a", "1", 0, 0, -1),
    ],
)
def test_a_plan_that_can_not_be_held_is_refused(store, plan):
    with pytest.raises(ValueError, match="expected"):
        store.set_plan(plan)


def test_a_damaged_file_lets_nobody_in(store, path):
    key, _ = store.issue("cus_a", "standard")
    store.close()
    data = bytearray(Path(path).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    Path(path).write_bytes(data)
    with closing(SqliteKeys(path)) as damaged, pytest.raises(LookupUnavailable, match=r"keys\.db"):
        found(damaged, key)


def test_a_locked_file_can_be_read_but_not_written(store, path):
    key, record = store.issue("cus_a", "standard")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LookupUnavailable, match="locked"):
            store.revoke(record.key_id)
        assert found(store, key).usable(now_ms())


def test_the_cache_is_bounded(store):
    issued = [store.issue("cus_a", "standard") for _ in range(3)]
    store.find(issued[0][1].digest)
    store._cache.update({f"{number}": issued[0][1] for number in range(CACHED_KEYS)})
    for key, record in issued:
        assert found(store, key) == record
    assert len(store._cache) <= CACHED_KEYS
