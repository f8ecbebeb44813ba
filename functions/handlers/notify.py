"""The Lambda that tells webhooks, every few minutes, of limits that were reached.

A soft limit is as the meter has counted it. What can't be delivered waits in the outbox for the next run.
"""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import settings
from functions.access.dynamodb import GatewayKeys
from functions.aws.service import dynamodb_in, parameters_in
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.terms import CAP, QUOTA
from functions.metering.usage import month_of
from functions.webhooks.alerts import alerts, announce, used_of
from functions.webhooks.delivery import Courier
from functions.webhooks.dynamodb import DynamoDbOutbox, ParameterVault
from functions.webhooks.outbox import DELIVERED

_set = settings.read("region", "stage", "access_table", "accounts_table", "webhooks_table")
_dynamodb = dynamodb_in(_set.region)
_accounts = DynamoDbAccounts(_set.accounts_table, _dynamodb)
_keys = GatewayKeys(_set.access_table, _dynamodb, _set.key_cache_seconds)
_outbox = DynamoDbOutbox(_set.webhooks_table, _dynamodb)
_courier = Courier(_outbox, ParameterVault("", parameters_in(_set.region)))
_logger = Logger(service="payphone-notify")


@_logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Look once; Lambda's entry point. Gives how many alerts are new, were delivered, and were not."""
    now = time.time_ns() // 1_000_000
    done = _look(now) if _outbox.endpoints() else {"new": 0, "delivered": 0, "failed": 0}
    if any(done.values()):
        _logger.info("webhooks", extra=done)
    return done


def _look(now: int) -> dict[str, int]:
    month = month_of(now)
    used = [
        used_of(account, balance)
        for limit in (QUOTA, CAP)
        for account, balance in _accounts.balances(f"{limit}#")
        if account.endswith(f"#{month}")
    ]
    plans = [_keys.plan(name) for name in sorted({one.plan for one in used})]
    new = announce(alerts(used, plans, now), _outbox)
    tried = _courier.send_due(now)
    delivered = sum(each.state == DELIVERED for each in tried)
    return {"new": new, "delivered": delivered, "failed": len(tried) - delivered}
