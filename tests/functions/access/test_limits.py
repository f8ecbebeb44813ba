import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.access import limits as module
from functions.access.keys import KeyRecord, Plan
from functions.access.limits import Limits

SECOND = 1000
NOVEMBER = 1_793_491_200_000  # 2026-11-01T00:00:00Z
DECEMBER = NOVEMBER + 30 * 86_400 * SECOND
POLICY_FIELD = re.compile(r'"(throttle|quota)";q=(\d+);w=(\d+)')
LIMIT_FIELD = re.compile(r'"(throttle|quota)";r=(\d+);t=(\d+)')


def key(plan, key_id="key_1", customer="cus_a"):
    return KeyRecord(key_id, "digest", customer, plan)


def plan(rate=0.0, burst=0, quota=0, name="standard"):
    return Plan(name, "0f3c", rate, burst, quota)


@pytest.fixture
def ledger():
    """What the ledger counts, by (customer, plan, month); `asked` notes each time it is asked."""

    class Counted(Counter):
        asked = 0

        def __call__(self, *account):
            self.asked += 1
            return self[account]

    return Counted()


@pytest.fixture
def limits(ledger):
    return Limits(ledger)


def admitted(limits, record, now, times):
    return sum(limits.admit(record, now).allowed for _ in range(times))


def test_a_burst_passes_and_then_the_rate(limits):
    record = key(plan(rate=10, burst=20))
    assert admitted(limits, record, NOVEMBER, 50) == 20
    assert admitted(limits, record, NOVEMBER + 99, 5) == 0
    assert admitted(limits, record, NOVEMBER + 100, 5) == 1
    assert admitted(limits, record, NOVEMBER + 1100, 50) == 10
    assert admitted(limits, record, NOVEMBER + 3600 * SECOND, 50) == 20


def test_a_throttled_call_says_when_to_come_back(limits):
    record = key(plan(rate=0.5, burst=1))
    assert limits.admit(record, NOVEMBER).allowed
    verdict = limits.admit(record, NOVEMBER + 100)
    assert (verdict.allowed, verdict.limit, verdict.retry_after) == (False, "throttle", 2)
    assert dict(verdict.headers)["retry-after"] == "2"
    assert limits.admit(record, NOVEMBER + 100 + 2 * SECOND).allowed


def test_a_clock_set_back_gives_nothing_away(limits):
    record = key(plan(rate=1, burst=1))
    now = NOVEMBER + 86_400 * SECOND
    assert admitted(limits, record, now, 3) == 1
    assert admitted(limits, record, now - 5 * SECOND, 3) == 0
    assert admitted(limits, record, now - 4 * SECOND, 3) == 1


def test_keys_are_throttled_apart(limits):
    one, other = key(plan(rate=1, burst=2)), key(plan(rate=1, burst=2), "key_2")
    assert admitted(limits, one, NOVEMBER, 5) == 2
    assert admitted(limits, other, NOVEMBER, 5) == 2


def test_the_quota_is_the_customers_however_many_keys(limits):
    one, other = key(plan(quota=5)), key(plan(quota=5), "key_2")
    assert admitted(limits, one, NOVEMBER, 3) == 3
    assert admitted(limits, other, NOVEMBER, 5) == 2
    stranger = key(plan(quota=5), "key_3", "cus_b")
    assert admitted(limits, stranger, NOVEMBER, 9) == 5


def test_the_quota_goes_on_from_what_the_ledger_counts(limits, ledger):
    ledger["cus_a", "standard", "2026-11"] = 7
    assert admitted(limits, key(plan(quota=10)), DECEMBER - 1, 9) == 3
    assert admitted(limits, key(plan(quota=10)), DECEMBER, 19) == 10
    assert ledger.asked == 2


def test_an_exhausted_quota_says_when_the_month_ends(limits):
    record = key(plan(quota=1))
    limits.admit(record, DECEMBER - 1500)
    verdict = limits.admit(record, DECEMBER - 1500)
    assert (verdict.allowed, verdict.limit, verdict.retry_after) == (False, "quota", 2)


def test_an_unbilled_call_goes_back_to_the_quota(limits):
    record = key(plan(quota=1))
    for _ in range(5):
        assert limits.admit(record, NOVEMBER).allowed
        limits.release(record, NOVEMBER)
    assert admitted(limits, record, NOVEMBER, 5) == 1


def test_a_release_never_makes_room_that_was_not_taken(limits):
    record = key(plan(quota=2))
    limits.release(record, NOVEMBER)
    limits.admit(record, DECEMBER - 1)
    limits.admit(record, DECEMBER)
    limits.release(record, DECEMBER - 1)  # of a month gone by
    assert admitted(limits, record, DECEMBER, 9) == 1


def test_a_call_refused_by_the_throttle_takes_nothing_of_the_quota(limits):
    record = key(plan(rate=1, burst=1, quota=10))
    assert admitted(limits, record, NOVEMBER, 100) == 1
    assert "r=9" in dict(limits.admit(record, NOVEMBER).headers)["ratelimit"]


def test_a_changed_plan_holds_from_the_next_call(limits):
    assert admitted(limits, key(plan(rate=1, burst=50, quota=100)), NOVEMBER, 20) == 20
    smaller = key(plan(rate=1, burst=2, quota=21)._replace(version="77aa"))
    assert admitted(limits, smaller, NOVEMBER, 9) == 1
    verdict = limits.admit(smaller, NOVEMBER + 10 * SECOND)
    assert verdict.limit == "quota"
    assert dict(verdict.headers)["ratelimit-policy"] == '"throttle";q=2;w=2, "quota";q=21;w=2592000'


def test_a_plan_without_limits_needs_no_headers_and_no_ledger(limits, ledger):
    verdict = limits.admit(key(plan()), NOVEMBER)
    assert verdict.allowed
    assert verdict.headers == ()
    assert ledger.asked == 0


def test_headers_name_only_the_limits_there_are(limits):
    throttled = dict(limits.admit(key(plan(rate=10, burst=10)), NOVEMBER).headers)
    assert throttled == {"ratelimit-policy": '"throttle";q=10;w=1', "ratelimit": '"throttle";r=9;t=1'}
    counted = dict(limits.admit(key(plan(quota=9), "key_2"), DECEMBER - SECOND).headers)
    assert counted == {"ratelimit-policy": '"quota";q=9;w=2592000', "ratelimit": '"quota";r=8;t=1'}


def test_an_error_of_the_ledger_comes_through_and_is_not_remembered(ledger):
    def unreadable(*account):
        raise OSError("no ledger")

    limits = Limits(unreadable)
    with pytest.raises(OSError, match="no ledger"):
        limits.admit(key(plan(quota=1)), NOVEMBER)
    limits._live_calls = ledger
    assert limits.admit(key(plan(quota=1)), NOVEMBER).allowed


def test_full_buckets_are_forgotten_and_others_kept(limits, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BUCKETS", 100)
    limits = Limits(lambda *account: 0)
    busy = key(plan(rate=0.001, burst=1), "busy")
    assert admitted(limits, busy, NOVEMBER, 2) == 1
    for number in range(1000):
        limits.admit(key(plan(rate=10, burst=10), f"key_{number}"), NOVEMBER + number * SECOND)
    assert len(limits._buckets) <= 101
    assert admitted(limits, busy, NOVEMBER + 999 * SECOND, 2) == 0


def test_threads_share_one_quota(limits):
    record = key(plan(rate=1, burst=300, quota=250))
    with ThreadPoolExecutor(8) as pool:
        counts = pool.map(lambda _: admitted(limits, record, NOVEMBER, 50), range(8))
    assert sum(counts) == 250


@given(
    rate=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 10.0, 250.0]),
    burst=st.integers(1, 30),
    quota=st.integers(0, 60),
    waits=st.lists(st.integers(0, 3000), max_size=80),
)
def test_no_more_is_admitted_than_the_plan_allows(rate, burst, quota, waits):
    limits, record = Limits(lambda *account: 0), key(plan(rate, burst, quota))
    now, allowed = NOVEMBER, 0
    for wait in waits:
        now += wait
        verdict = limits.admit(record, now)
        allowed += verdict.allowed
        if rate:
            assert allowed <= burst + floor((now - NOVEMBER) * rate / 1000 + 1e-6)
        if quota:
            assert allowed <= quota
        if not rate and not quota:
            assert verdict.allowed
            continue
        headers = dict(verdict.headers)
        policies, states = (
            {name: (int(a), int(b)) for name, a, b in field.findall(headers[header])}
            for field, header in ((POLICY_FIELD, "ratelimit-policy"), (LIMIT_FIELD, "ratelimit"))
        )
        assert (
            set(policies) == set(states) == {n for n, held in (("throttle", rate), ("quota", quota)) if held}
        )
        assert all(0 <= states[name][0] <= policies[name][0] for name in states)
        if rate:
            assert policies["throttle"] == (burst, ceil(burst / rate))
        assert ("retry-after" in headers) == (not verdict.allowed)
        if verdict.limit == "throttle":
            assert limits.admit(record, now + verdict.retry_after * 1000).limit != "throttle"
            break
