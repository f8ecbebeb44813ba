"""The Lambda of the control plane: everything over HTTP that is not a call, by FastAPI on Mangum.

It serves the same routers as the local server. No model is loaded here, and nothing is written.
"""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from mangum import Mangum

from functions import settings
from functions.access.dynamodb import GatewayKeys
from functions.api.app import create_app
from functions.api.catalog import PublishedModels
from functions.api.context import Context
from functions.api.gateway import BehindGateway, identify
from functions.aws.s3 import Bucket
from functions.aws.service import dynamodb_in
from functions.billing.books import Books
from functions.billing.plans import PlanBook
from functions.calls.gateway import TEXT
from functions.metering.archive import Archive
from functions.metering.archived import ArchiveUsage
from functions.metering.dynamodb import DynamoDbLedger
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.proofs import Proofs
from functions.metering.seals import Seals
from models.registry import Registry

_set = settings.read(
    "region",
    "stage",
    "models",
    "access_table",
    "archive_bucket",
    "models_bucket",
    "ledger_table",
    "issuer",
)
_archive = Archive(Bucket(_set.archive_bucket, _set.region))
_logger = Logger(service="payphone-control")
_metrics = Metrics(namespace="Payphone", service="control")
_metrics.set_default_dimensions(stage=_set.stage)
_dynamodb = dynamodb_in(_set.region)
_keys = GatewayKeys(_set.access_table, _dynamodb, _set.key_cache_seconds)
_app = create_app(
    Context(
        identify=identify(_keys.find),
        keys_of=_keys.of_customer,
        catalog=PublishedModels(Registry(Bucket(_set.models_bucket, _set.region, "models/")), _set.models),
        usage=ArchiveUsage(_archive),
        proofs=Proofs(Seals(_archive.bucket), DynamoDbLedger(_set.ledger_table, _dynamodb).get),
        accounts=DynamoDbAccounts(_set.accounts_table, _dynamodb),
        book=PlanBook(Bucket(_set.models_bucket, _set.region)),
        limits=None,  # the gateway's
        now_ms=lambda: time.time_ns() // 1_000_000,
        version=settings.VERSION,
        books=Books(Bucket(_set.archive_bucket, _set.region, "invoices/"), _set.issuer),
    )
)
_mangum = Mangum(BehindGateway(_app, _logger), lifespan="off", text_mime_types=["text/", *TEXT])


@_logger.inject_lambda_context
@_metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request; Lambda's entry point."""
    answer = _mangum(event, context)  # type: ignore[arg-type]  # it asks for a settable context
    _metrics.add_metric("requests", MetricUnit.Count, 1)
    _metrics.add_metric("failed", MetricUnit.Count, answer["statusCode"] >= 500)
    return answer
