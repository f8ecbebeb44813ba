"""What a call and a month cost on AWS, part by part, from list prices that are dated and can be replaced.

A call's parts grow with each call, a month's do not. Data going out to the internet is in neither, nor
are what comes to cents: storage of models, the meter and the nightly seal, key look-ups, and the
archive's S3 writes, one for each five seconds in which somebody calls.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.billing.amounts import Amount
from infra.toml_problems import explain, parse

DEFAULT_PRICES = Path(__file__).with_name("aws_prices.toml")

# Of one call: its line in the function's log, what Firehose counts for one in the access log, and its row
# in the archive, gzipped.
LOG_BYTES = 700
FIREHOSE_BYTES = 5 * 1024
ARCHIVED_BYTES = 150
KEPT_MONTHS = 12

ALARMS = 4  # infra/stacks/billing.py
METRICS_OF_A_MODEL = 5  # functions/calls/telemetry.py
OTHER_METRICS = 6  # of the control plane and the meter; those of the seal have values one hour a day

METRICS = "CloudWatch, metrics if called in every hour"
_GB = Decimal(10**9)


class PricesError(ValueError):
    """The price file can't be used; the message has a line a problem, each with its file and line."""


class Prices(BaseModel):
    """AWS list prices in US dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    region: str
    lambda_request: Amount
    lambda_gb_second_x86_64: Amount
    lambda_gb_second_arm64: Amount
    gateway_request: Amount
    ledger_write: Amount
    log_gb: Amount
    archive_gb_month: Amount
    firehose_gb: Amount
    metric_month: Amount
    alarm_month: Amount
    key_month: Amount


def load_prices(path: Path = DEFAULT_PRICES) -> Prices:
    """Read a price file; PricesError."""
    try:
        text, document = parse(path)
    except FileNotFoundError:
        raise PricesError(f"{path} does not exist: name a price file with --prices FILE") from None
    except ValueError as error:
        raise PricesError(str(error)) from None
    try:
        return Prices.model_validate(document)
    except ValidationError as error:
        raise PricesError(explain(error.errors(), text, Prices, path)) from None


def cost_of_a_call(prices: Prices, duration_ms: int, memory_mb: int, machine: str) -> dict[str, Decimal]:
    """US dollars by part. Lambda bills whole milliseconds at the memory that is set, used or not."""
    gb_second = prices.lambda_gb_second_arm64 if machine == "arm64" else prices.lambda_gb_second_x86_64
    return {
        "Lambda, compute": gb_second * duration_ms * memory_mb / (1000 * 1024),
        "Lambda, request": prices.lambda_request,
        "API Gateway, request": prices.gateway_request,
        "DynamoDB, one row": prices.ledger_write,
        "CloudWatch, log line": prices.log_gb * LOG_BYTES / _GB,
        "Firehose, access log line": prices.firehose_gb * FIREHOSE_BYTES / _GB,
        f"S3, row kept {KEPT_MONTHS} months": prices.archive_gb_month * ARCHIVED_BYTES * KEPT_MONTHS / _GB,
    }


def cost_of_holds(prices: Prices, accounts: int) -> Decimal:
    """US dollars more for a call that holds from so many accounts: in a transaction writes count twice."""
    return prices.ledger_write * (2 * (1 + accounts) - 1) if accounts else Decimal(0)


def cost_of_a_month(prices: Prices, models: int, keys: int) -> dict[str, Decimal]:
    """US dollars by part, for a stage with so many models and KMS keys: nothing else costs at rest.

    Metrics cost only in hours in which something is called; here they get values in all of them.
    """
    return {
        "CloudWatch, alarms": prices.alarm_month * ALARMS,
        "KMS, keys": prices.key_month * keys,
        METRICS: prices.metric_month * (METRICS_OF_A_MODEL * models + OTHER_METRICS),
    }
