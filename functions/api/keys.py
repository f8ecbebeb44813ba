"""GET /v1/keys: the caller's own keys. They are issued and revoked by the operator, not here."""

from __future__ import annotations

from fastapi import APIRouter

from functions.access.keys import LookupUnavailable
from functions.api.caller import Caller, Parts
from functions.api.problems import documented
from functions.api.schemas import Key, KeyList
from functions.calls.problems import access_unavailable

router = APIRouter(tags=["keys"])


@router.get(
    "/v1/keys",
    responses=documented("unauthenticated", "throttled", "access-unavailable", "books-unavailable"),
)
def list_keys(key: Caller, parts: Parts) -> KeyList:
    """List the keys of the customer whose key this is, never their values."""
    try:
        records = parts.keys_of(key.customer)
    except LookupUnavailable:
        raise access_unavailable() from None
    now = parts.now_ms()
    return KeyList(
        keys=[
            Key(
                key_id=record.key_id,
                plan=record.plan.version,
                models=list(record.models),
                created_at=record.created_at,
                expires_at=record.expires_at,
                revoked_at=record.revoked_at,
                usable=record.usable(now),
            )
            for record in records
        ]
    )
