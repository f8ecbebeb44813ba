"""The Idempotency-Key: what names a logical call that its caller may send more than once."""

from __future__ import annotations

from functions.calls.dialect import HEADER_LENGTH, Request
from functions.calls.problems import Problem
from functions.calls.routes import PREDICT
from functions.metering.event import call_identity, fingerprint

MAX_LENGTH = 255


def identify(request: Request, customer: str, key: str) -> tuple[str, str]:
    """The call's id, and the fingerprint that all its attempts share; Problem for a key that is none."""
    if not 1 <= len(key) <= MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Problem(
            "invalid-idempotency-key", f"From 1 to {MAX_LENGTH} printable ASCII characters were expected."
        )
    headers = request.headers
    described = (request.path, PREDICT, headers.get("content-type", ""), headers.get(HEADER_LENGTH, ""))
    mark = fingerprint(key, "\n".join(described).encode(), request.body)
    return call_identity(customer, request.attempt_id, key), mark
