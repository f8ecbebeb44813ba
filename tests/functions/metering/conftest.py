import itertools

import pytest

from functions.metering.event import UsageEvent, call_identity, fingerprint

NOON = 1_800_000_000_000


@pytest.fixture
def make_event():
    """An event of a new attempt: of its own call, or of the one that `key` names."""
    numbers = itertools.count(1)

    def make(key=None, body=b"{}", customer="cus_a", attempt=None, **fields):
        attempt = attempt or f"attempt-{next(numbers)}"
        event = UsageEvent(
            call_id=call_identity(customer, attempt, key),
            attempts=(attempt,),
            key_id="key_1",
            customer=customer,
            plan="standard@0f3c",
            model="sentiment",
            version="3",
            kind="predict",
            units=2,
            bytes_in=len(body),
            started_at=NOON,
            fingerprint=fingerprint(key, b"sentiment", body) if key else "",
            nonce=f"{next(numbers):032x}",
        )
        return event._replace(**fields)

    return make
