"""Letting rows expire from DynamoDB, where the archive has sealed them: count first, then mark each.

A row is marked only while it is what was sealed; one that is not stays for good, and is told of.
Counting reads the whole table, and marking writes every row once: for a month of ten million calls about
1 and 7 US dollars (November 2026, us-east-1).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from json import loads
from json.encoder import encode_basestring_ascii as quoted

from functions.aws.service import Call, Rejected, dynamodb_in
from functions.metering.event import UsageEvent
from functions.metering.usage import day_of

WINDOW = 16  # writes under way at once
SECONDS = 20.0


class LedgerRows:
    """The ledger's table as the nightly seal sees it. Unavailable and Rejected come as they are."""

    def __init__(self, table: str, region: str) -> None:
        self._service = dynamodb_in(region)
        self._table = quoted(table)

    def count(self, start: int, end: int) -> Counter[str]:
        """Rows of a span in milliseconds, void ones too, by UTC day."""
        days: Counter[str] = Counter()
        page = ""
        while True:
            body = (
                f'{{"TableName":{self._table},{page}"ProjectionExpression":"started_at",'
                '"FilterExpression":"started_at >= :start AND started_at < :end",'
                f'"ExpressionAttributeValues":{{":start":{{"N":"{start}"}},":end":{{"N":"{end}"}}}}}}'
            )
            answer = loads(self._service.start("Scan", body.encode(), SECONDS).answer())
            days.update(day_of(int(item["started_at"]["N"])) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return days
            last = quoted(answer["LastEvaluatedKey"]["call_id"]["S"])
            page = f'"ExclusiveStartKey":{{"call_id":{{"S":{last}}}}},'

    def expire(self, rows: Iterable[UsageEvent], at: int) -> int:
        """Mark rows to go at `at` (seconds since 1970 UTC); gives how many are not there as sealed.

        A row that is marked, or gone, is one of an earlier run.
        """
        moved = 0
        under_way: deque[Call] = deque()
        for row in rows:
            under_way.append(self._mark(row, at))
            if len(under_way) == WINDOW:
                moved += _is_moved(under_way.popleft())
        return moved + sum(map(_is_moved, under_way))

    def _mark(self, row: UsageEvent, at: int) -> Call:
        body = (
            f'{{"TableName":{self._table},"Key":{{"call_id":{{"S":{quoted(row.call_id)}}}}},'
            '"UpdateExpression":"SET expires_at = :at","ReturnValuesOnConditionCheckFailure":"ALL_OLD",'
            '"ConditionExpression":"revision = :seen AND attribute_not_exists(expires_at)",'
            f'"ExpressionAttributeValues":{{":at":{{"N":"{at}"}},":seen":{{"N":"{row.revision}"}}}}}}'
        )
        return self._service.start("UpdateItem", body.encode(), SECONDS)


def _is_moved(call: Call) -> bool:
    try:
        call.answer()
    except Rejected as refusal:
        if refusal.code != "ConditionalCheckFailedException":
            raise
        held = refusal.details.get("Item") or {"expires_at": None}  # gone, so it was marked once
        return "expires_at" not in held
    return False
