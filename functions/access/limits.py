"""Throttle and monthly quota of one process, for the local server.

In the cloud API Gateway's usage plans do this at the edge. Both are soft limits: they protect the
service and no invoice is computed from them. What they say follows the Internet-Draft "RateLimit
header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).

The throttle is a token bucket per key. The quota counts a customer's calls on a plan within a UTC
month, so that neither a second key nor rotation starts it again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from threading import Lock
from typing import NamedTuple

from functions.access.keys import KeyRecord, Plan

KEPT_BUCKETS = 10_000

Header = tuple[str, str]


class Verdict(NamedTuple):
    """Whether a call may go on. `limit` is "", "throttle" or "quota"; `retry_after` is in seconds.

    `headers` belong on the answer, whether the call was allowed or not; their names are lower-case.
    """

    allowed: bool
    limit: str
    retry_after: int
    headers: tuple[Header, ...]


class Limits:
    """Admits calls by their key's plan; any thread may use it.

    `live_calls` gives the calls that a customer made on a plan (by name) in a month ("2026-11"), as
    the ledger counts them. It is asked once per customer, plan and month; its errors pass through.
    """

    def __init__(self, live_calls: Callable[[str, str, str], int]) -> None:
        """Start with full buckets, and quotas as the ledger knows them."""
        self._live_calls = live_calls
        self._lock = Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._sweep_at = KEPT_BUCKETS
        self._used: dict[tuple[str, str], int] = {}
        self._month, self._start, self._end = "", 0, 0

    def admit(self, record: KeyRecord, now_ms: int, *, counts: bool = True) -> Verdict:
        """Count a call against its limits; release() it if it ends unbilled.

        What is never billed does not `count`: it is throttled, but a used-up quota is not in its way.
        A call refused by the quota has taken its token all the same.
        """
        plan = record.plan
        if not plan.rate and not plan.quota:
            return UNLIMITED
        with self._lock:
            if now_ms >= self._end:  # and never back: a call that began last month opens nothing
                self._turn_month(now_ms)
            account = record.customer, plan.name
            used = self._used.get(account) if plan.quota else 0
            if used is None:
                used = self._used[account] = self._live_calls(*account, self._month)
            bucket = self._bucket(record.key_id, plan, now_ms)
            limit = ""
            if not bucket.take(now_ms):
                limit = "throttle"
            elif plan.quota and counts:
                if used < plan.quota:
                    used = self._used[account] = used + 1
                else:
                    limit = "quota"
            month_left = -((now_ms - self._end) // 1000)
        state = ""
        if plan.rate:
            state = f'"throttle";r={int(bucket.tokens)};t={bucket.seconds_to(plan.burst)}'
        if plan.quota:
            left = f'"quota";r={max(plan.quota - used, 0)};t={month_left}'
            state = f"{state}, {left}" if state else left
        headers = (bucket.policy, ("ratelimit", state))
        if not limit:
            return Verdict(True, "", 0, headers)
        wait = month_left if limit == "quota" else bucket.seconds_to(1)
        return Verdict(False, limit, wait, (*headers, ("retry-after", str(wait))))

    def release(self, record: KeyRecord, admitted_at: int) -> None:
        """Give an unbilled call back to the quota: a replay, a refusal, a failure. Not to the throttle.

        `admitted_at` is the time given to admit(); a call of a month gone by changes nothing.
        """
        account = record.customer, record.plan.name
        with self._lock:
            if record.plan.quota and self._start <= admitted_at < self._end and self._used.get(account):
                self._used[account] -= 1

    def _turn_month(self, now_ms: int) -> None:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        start = datetime(now.year, now.month, 1, tzinfo=UTC)
        end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        self._month = f"{start:%Y-%m}"
        self._start, self._end = int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        self._used.clear()
        self._buckets.clear()  # their policies name the length of the month

    def _bucket(self, key_id: str, plan: Plan, now_ms: int) -> _Bucket:
        bucket = self._buckets.get(key_id)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at:  # a full bucket says no more than none
                self._buckets = {k: b for k, b in self._buckets.items() if not b.is_full(now_ms)}
                self._sweep_at = max(KEPT_BUCKETS, 2 * len(self._buckets))
            bucket = self._buckets[key_id] = _Bucket(plan, now_ms, self._month_seconds())
        elif bucket.plan is not plan and bucket.plan != plan:
            bucket.follow(plan, self._month_seconds())
        return bucket

    def _month_seconds(self) -> int:
        return (self._end - self._start) // 1000


class _Bucket:
    __slots__ = ("at", "plan", "policy", "tokens")

    def __init__(self, plan: Plan, now_ms: int, month_seconds: int) -> None:
        self.tokens = float(plan.burst)
        self.at = now_ms
        self.follow(plan, month_seconds)

    def follow(self, plan: Plan, month_seconds: int) -> None:
        """Take over the limits of the plan now in force."""
        policies = []
        if plan.rate:  # so many at once, if none came for the length of the window
            policies.append(f'"throttle";q={plan.burst};w={ceil(plan.burst / plan.rate)}')
        if plan.quota:
            policies.append(f'"quota";q={plan.quota};w={month_seconds}')
        self.plan = plan
        self.policy = ("ratelimit-policy", ", ".join(policies))

    def take(self, now_ms: int) -> bool:
        """Fill up by the time gone by and take one token, if there is one."""
        if not self.plan.rate:
            return True
        if now_ms > self.at:  # a clock that was set back fills nothing
            self.tokens += (now_ms - self.at) * self.plan.rate / 1000
        self.at = now_ms
        self.tokens = min(self.tokens, self.plan.burst)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def is_full(self, now_ms: int) -> bool:
        """Whether the time gone by has filled it."""
        return self.tokens + (now_ms - self.at) * self.plan.rate / 1000 >= self.plan.burst

    def seconds_to(self, tokens: int) -> int:
        """Whole seconds until there are so many tokens."""
        return ceil(max(tokens - self.tokens, 0) / self.plan.rate)


UNLIMITED = Verdict(True, "", 0, ())
