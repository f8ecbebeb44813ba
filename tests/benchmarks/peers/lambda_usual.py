"""The usual handler: FastAPI on Mangum, Powertools for logs and metrics, boto3 for a counter a call.

Written as their documentation has it, with the advice that makes it cheap: clients are made outside the
handler, the lifespan is off, one thread for numpy, and one metric. Usage is counted per key and
month by `update_item`. It knows no idempotency, so a retried call counts twice.
"""

import os
import time

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from fastapi import FastAPI, Request
from mangum import Mangum
from model import predict
from pydantic import BaseModel

logger = Logger(service="iris")
metrics = Metrics(namespace="Benchmark", service="iris")
dynamodb = boto3.client("dynamodb")
app = FastAPI()


class Row(BaseModel):
    measures: list[float]


class Prediction(BaseModel):
    label: str
    probabilities: dict[str, float]


def count(key_id: str) -> None:
    dynamodb.update_item(
        TableName=os.environ["USAGE_TABLE"],
        Key={"key": {"S": key_id}, "month": {"S": time.strftime("%Y-%m", time.gmtime())}},
        UpdateExpression="ADD calls :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


@app.post("/predict")
def run(row: Row, request: Request) -> Prediction:
    answer = Prediction(**predict(row.measures))
    if "USAGE_TABLE" in os.environ:
        count(request.scope["aws.event"]["requestContext"]["identity"]["apiKeyId"])
    metrics.add_metric(name="calls", unit=MetricUnit.Count, value=1)
    logger.info("predicted", label=answer.label)
    return answer


mangum = Mangum(app, lifespan="off")


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    return mangum(event, context)
