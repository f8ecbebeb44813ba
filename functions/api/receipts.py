"""GET /v1/receipts/{call_id}: proof that the caller's call is in the signed seal of its day, as billed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from functions.api.caller import Caller, Parts
from functions.api.problems import documented
from functions.api.schemas import PendingReceipt, ReceiptProof, SealingKey, SealingKeyList
from functions.billing.amounts import instant_text
from functions.calls.problems import Problem
from functions.metering.proofs import Pending

router = APIRouter(tags=["receipts"])

_READ = ("unauthenticated", "invalid-parameter", "throttled", "access-unavailable", "books-unavailable")
_DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"


@router.get("/v1/receipts/{call_id:path}", responses=documented(*_READ, "receipt-not-found"))
def show_receipt(
    key: Caller,
    parts: Parts,
    call_id: Annotated[str, Path(max_length=300, description="As the header payphone-call-id has it")],
    day: Annotated[
        str | None,
        Query(pattern=_DAY, description="UTC day that the receipt begins with; finds old calls too"),
    ] = None,
) -> ReceiptProof | PendingReceipt:
    """Prove that a call is in the seal of its day. A day is sealed 27 hours after its end."""
    found = parts.proofs.find(key.customer, call_id, day)
    if found is None:
        raise Problem(
            "receipt-not-found",
            "No billed call of yours has this id; with ?day= from its receipt old ones are found too.",
        )
    if isinstance(found, Pending):
        return PendingReceipt(
            status="pending",
            call_id=found.call_id,
            receipt=found.receipt,
            sealed_after=instant_text(found.sealed_after),
        )
    return ReceiptProof.model_validate(found.document())


@router.get("/v1/sealing-keys", responses=documented(*_READ))
def list_sealing_keys(key: Caller, parts: Parts) -> SealingKeyList:
    """List the public keys that seals are signed with. Keep them: verifying needs them, and no account."""
    return SealingKeyList(keys=[SealingKey(**found._asdict()) for found in parts.proofs.sealing_keys()])
