"""Signatures, held against the specification's own library and its published example."""

import time
from base64 import b64decode

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from functions.webhooks.signing import (
    OVERLAP_MS,
    Secret,
    dumped,
    headers,
    loaded,
    new_secret,
    rotated,
)

BODY = b'{"type":"webhook.test","data":{"name":"\xc3\xa9"}}'


def test_the_published_example():
    """The example of the specification's reference libraries."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1_614_265_330_000)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def now_ms():
    """At the time of the test: the library takes no signature older than five minutes."""
    return time.time_ns() // 1_000_000


def test_the_specifications_library_accepts_what_we_sign():
    secret = new_secret()
    made = headers([Secret(secret)], "msg_1", BODY, now_ms())
    assert Webhook(secret).verify(BODY, made)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", made)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, {**made, "webhook-id": "msg_2"})
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, made)


def test_a_rotated_secret_signs_along_for_a_day():
    now = now_ms()
    old = Secret(new_secret())
    held = rotated([old], now)
    assert [secret.until for secret in held] == [0, now + OVERLAP_MS]
    for secret in held:
        Webhook(secret.value).verify(BODY, headers(held, "msg_1", BODY, now))
    later = headers(held, "msg_1", BODY, now + OVERLAP_MS)
    assert len(later["webhook-signature"].split()) == 1
    again = rotated(held, now + 1)
    assert len(headers(again, "msg_1", BODY, now + 2)["webhook-signature"].split()) == 3
    assert len(rotated(again, now + 2 * OVERLAP_MS)) == 2


def test_secrets_have_256_bits_and_do_not_show():
    secret = Secret(new_secret())
    assert len(b64decode(secret.value.removeprefix("whsec_"))) == 32
    assert secret.value not in repr(secret)
    assert loaded(dumped([secret])) == [secret]
