"""Holds in DynamoDB: a row and the balances of its accounts, written by one transaction or not at all.

The accounts' table has the key (`account`, `entry`). Under the entry "balance" lies what is left, under
"entry#<id>" what was posted. A row's item keeps what it holds as `holds`, a map from account to amount, so
that a void by anybody gives back just that.

A transaction costs two write units an item, so a call with one hold costs four where a call without costs
one. Two transactions on one account at once exclude each other: the later one is tried again, after a
jittered pause, within the call's deadline. That bounds how many calls a second one account can bear.
"""

from __future__ import annotations

from os import urandom
from time import monotonic, sleep

from functions.aws.service import Rejected, Unavailable
from functions.metering.dynamodb import DynamoDbLedger, Stored, Write, stored_of
from functions.metering.event import UsageEvent
from functions.metering.ledger import Hold, Insufficient, LedgerUnavailable
from models.strict_json import loads, quoted
from models.typed import Any, Sequence

BALANCE = "balance"
PASSING = {
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
}
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2


def take(
    ledger: DynamoDbLedger, row: UsageEvent, over: Stored | None, holds: Sequence[Hold], seconds: float
) -> Write:
    """Start to write `row` over what is there, on the condition that every account bears its hold."""
    holds = [hold for hold in holds if hold.amount]
    kept = ",".join(f'{quoted(hold.account)}:{{"N":"{hold.amount}"}}' for hold in holds)
    changes = [change(ledger.accounts, hold.account, -hold.amount, hold.floor) for hold in holds]
    put = ledger.put_body(row, over, f'{{"M":{{{kept}}}}}' if kept else "")
    return _Transaction(ledger, put, changes, holds, seconds)


def give_back(ledger: DynamoDbLedger, row: UsageEvent, over: Stored, seconds: float) -> Write:
    """Start to write `row`, which holds nothing, and to put back what `over` holds."""
    held: dict[str, dict[str, str]] = loads(over.holds)["M"]
    changes = [change(ledger.accounts, account, int(amount["N"])) for account, amount in held.items()]
    return _Transaction(ledger, ledger.put_body(row, over, ""), changes, (), seconds)


def change(table: str, account: str, amount: int, floor: int | None = None) -> str:
    """The Update that adds `amount` to a balance, if that does not bring it below `floor`."""
    values, condition = f'":amount":{{"N":"{amount}"}}', ""
    if floor is not None:
        least = floor - amount
        values += f',":least":{{"N":"{least}"}}'
        untouched = "attribute_not_exists(balance) OR " if least <= 0 else ""
        condition = (
            f'"ConditionExpression":"{untouched}balance >= :least",'
            '"ReturnValuesOnConditionCheckFailure":"ALL_OLD",'
        )
    key = f'{{"account":{{"S":{quoted(account)}}},"entry":{{"S":"{BALANCE}"}}}}'
    return (
        f'{{"Update":{{"TableName":{quoted(table)},"Key":{key},"UpdateExpression":"ADD balance :amount",'
        f'{condition}"ExpressionAttributeValues":{{{values}}}}}}}'
    )


def transaction(items: Sequence[str]) -> str:
    """The body of TransactWriteItems. Sent again as it stands it changes nothing, for ten minutes."""
    return f'{{"ClientRequestToken":"{urandom(16).hex()}","TransactItems":[{",".join(items)}]}}'


def reasons(refusal: Rejected) -> list[dict[str, Any]]:
    """Why a transaction was cancelled, item by item; LedgerUnavailable if it was refused otherwise."""
    found = refusal.details.get("CancellationReasons")
    if refusal.code != "TransactionCanceledException" or not isinstance(found, list):
        raise LedgerUnavailable(str(refusal)) from refusal
    return found


def failed(reason: dict[str, Any]) -> bool:
    """Whether an item's own condition cancelled the transaction."""
    return reason.get("Code") == "ConditionalCheckFailed"


def passes(found: Sequence[dict[str, Any]]) -> bool:
    """Whether traffic had a part in it: then nothing is certain, and the transaction is worth another try."""
    return any(reason.get("Code") in PASSING for reason in found)


class Pauses:
    """Growing, jittered pauses between attempts, within a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self.deadline = monotonic() + seconds
        self._longest = FIRST_PAUSE

    def wait(self) -> None:
        """Wait before the next attempt; LedgerUnavailable if there is no time for one."""
        pause = self._longest * (urandom(1)[0] + 1) / 256
        self._longest = min(2 * self._longest, LONGEST_PAUSE)
        if monotonic() + pause >= self.deadline:
            raise LedgerUnavailable("too many calls were paid from one account at once")
        sleep(pause)


class _Transaction(Write):
    def __init__(
        self, ledger: DynamoDbLedger, put: str, changes: list[str], holds: Sequence[Hold], seconds: float
    ) -> None:
        self._ledger, self._holds = ledger, holds
        self._items = [f'{{"Put":{{{put}}}}}', *changes]
        super().__init__(self._send(seconds))

    def landed(self) -> tuple[bool, Stored | Insufficient | None]:
        """As Write has it. A row that is there counts for more than an account that can't bear its hold."""
        pauses = Pauses(self.seconds_left)
        while True:
            try:
                self._call.answer()
            except Unavailable as error:
                raise LedgerUnavailable(str(error)) from error
            except Rejected as refusal:
                found = reasons(refusal)
                if failed(found[0]):
                    return False, stored_of(found[0])
                if not passes(found):
                    for hold, reason in zip(self._holds, found[1:], strict=True):
                        if failed(reason):
                            return False, Insufficient(hold, balance_of(reason))
                    raise LedgerUnavailable(str(refusal)) from refusal
            else:
                return True, None
            pauses.wait()
            self._call = self._send(pauses.deadline - monotonic())

    def _send(self, seconds: float) -> Any:
        return self._ledger.start("TransactWriteItems", transaction(self._items), seconds)


def balance_of(answer: dict[str, Any]) -> int:
    """The balance in an item, 0 where there is none."""
    return int((answer.get("Item") or {}).get("balance", {}).get("N", 0))
