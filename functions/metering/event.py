"""UsageEvent: the ledger row, one per logical call.

It holds what is known before inference and nothing of the payload. A price comes later, from the
immutable plan version that the row names. `customer` is a pseudonymous id: who that is lies in
`functions/customers`, and can be erased there without touching the books.

A logical call may take several attempts: a client that sends an `Idempotency-Key` and hears
nothing sends the same again. All its attempts are one row, hence one billed call.
"""

from __future__ import annotations

from models.digests import hmac_digest, sha256
from models.typed import NamedTuple

LIVE = "live"
VOID = "void"


class UsageEvent(NamedTuple):
    """One logical call as the ledger keeps it.

    `attempts[0]` is the attempt that is billed, the others were answered for free or failed.
    `started_at` is the gateway's time of the first attempt, in
    milliseconds since 1970 UTC; it never changes, so a row never moves from one month to another.
    `plan` is "name@hash". `units` is the number of instances. `fingerprint` is "" without an
    Idempotency-Key. `revision` counts the changes of the row, from 1: of two copies the higher holds.
    `nonce` is random, so that whoever sees a call's receipt can't find out by trying what is in its row;
    rows from before there were receipts have none.
    """

    call_id: str
    attempts: tuple[str, ...]
    key_id: str
    customer: str
    plan: str
    model: str
    version: str
    kind: str
    units: int
    bytes_in: int
    started_at: int
    fingerprint: str
    state: str = LIVE
    revision: int = 1
    nonce: str = ""


def call_identity(customer: str, attempt_id: str, idempotency_key: str | None) -> str:
    """Name the logical call: by its attempt, or by the customer's own key, which is not kept.

    The second form does not depend on the API key, so it survives key rotation.
    """
    if idempotency_key is None:
        return f"gw:{attempt_id}"
    named = f"{customer}\0{idempotency_key}".encode()
    return f"ik:{sha256(named).hexdigest()}"


def fingerprint(idempotency_key: str, *parts: bytes) -> str:
    """HMAC of what makes two requests the same call, under the raw Idempotency-Key.

    Without that key, which only the customer has, the value says nothing about the body.
    Parts are length-prefixed, so that no two lists of parts collide.
    """
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac_digest(idempotency_key.encode(), message, "sha256").hex()
