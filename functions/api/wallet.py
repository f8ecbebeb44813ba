"""GET /v1/wallet: what the caller has paid in advance, and what is left of the month's hard limits."""

from __future__ import annotations

from fastapi import APIRouter

from functions.access.keys import KeyRecord
from functions.api.caller import Caller, Parts
from functions.api.context import Context
from functions.api.problems import documented
from functions.api.schemas import Limit, Wallet, WalletEntry
from functions.billing.wallet import entry_document
from functions.metering.terms import CAP, QUOTA, WALLET, amount_text, in_force, limit_account, wallet_account
from functions.metering.usage import month_of

LATEST = 100

router = APIRouter(tags=["wallet"])


@router.get(
    "/v1/wallet",
    responses=documented("unauthenticated", "throttled", "access-unavailable", "books-unavailable"),
)
def show_wallet(key: Caller, parts: Parts) -> Wallet:
    """Show the balance of the key's wallet, its latest entries, and the limits that hold this month.

    On a plan that is paid by invoice there is no balance, and what is not limited is left out.
    """
    now = parts.now_ms()
    terms = in_force(key.plan.holds, now)
    balance, entries = None, []
    if WALLET in terms:
        account = wallet_account(key.customer, terms[WALLET])
        balance = amount_text(parts.accounts.balance(account))
        latest = parts.accounts.entries(account)[-LATEST:]
        entries = [WalletEntry(**entry_document(entry)) for entry in reversed(latest)]
    return Wallet(
        plan=key.plan.version,
        currency=parts.book.get(key.plan.version).currency,
        balance=balance,
        limits=[
            _limit(limit, terms[limit], key, parts, month_of(now)) for limit in (QUOTA, CAP) if limit in terms
        ],
        entries=entries,
    )


def _limit(limit: str, most: int, key: KeyRecord, parts: Context, month: str) -> Limit:
    used = -parts.accounts.balance(limit_account(limit, key.customer, key.plan.name, month))
    if limit == QUOTA:
        return Limit(
            limit="quota", month=month, most=str(most), used=str(used), left=str(max(most - used, 0))
        )
    return Limit(
        limit="spend_cap",
        month=month,
        most=amount_text(most),
        used=amount_text(used),
        left=amount_text(max(most - used, 0)),
    )
