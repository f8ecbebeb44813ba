"""Signatures of webhooks, as Standard Webhooks has them, and secrets that can be rotated without a gap.

    webhook-id         names the message; the same on every attempt, for receivers to tell repeats by
    webhook-timestamp  seconds since 1970 of this attempt
    webhook-signature  "v1," + base64 of HMAC-SHA256 over id.timestamp.body; one for each secret that is valid

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NamedTuple

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64
OVERLAP_MS = 24 * 3600 * 1000


class Secret(NamedTuple):
    """A secret, and until when it signs: milliseconds since 1970 UTC, 0 for as long as it is not rotated."""

    value: str
    until: int = 0

    def __repr__(self) -> str:
        return f"Secret(…, until={self.until})"


def new_secret() -> str:
    """Make one: whsec_ and base64."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def rotated(held: Sequence[Secret], now_ms: int) -> list[Secret]:
    """A new secret before those that are valid; the one that was newest goes on signing for a day."""
    older = [
        secret._replace(until=secret.until or now_ms + OVERLAP_MS)
        for secret in held
        if not secret.until or secret.until > now_ms
    ]
    return [Secret(new_secret()), *older]


def headers(held: Sequence[Secret], message_id: str, body: bytes, now_ms: int) -> dict[str, str]:
    """What an attempt carries."""
    timestamp = now_ms // 1000
    signed = f"{message_id}.{timestamp}.".encode() + body
    valid = [secret.value for secret in held if not secret.until or secret.until > now_ms]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(value, signed) for value in valid),
    }


def dumped(held: Sequence[Secret]) -> str:
    """As a vault keeps them."""
    return json.dumps([list(secret) for secret in held])


def loaded(text: str) -> list[Secret]:
    """As they were dumped."""
    return [Secret(*each) for each in json.loads(text)]


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()
