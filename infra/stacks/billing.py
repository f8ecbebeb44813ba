"""From the ledger's stream to the archive: the meter, the nightly seal, and the alarms on both.

Stream records live for 24 hours. Records that the meter can't deal with go whole to the archive bucket
(under aws/lambda/, which Lambda chooses) and hold nobody up.
"""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.pack import Packed
from infra.stacks.parts import OLDER_PYTHON, Common, Deployed, acknowledge, allow, function, layer
from infra.stacks.storage import Storage

FAILED = "aws/lambda"
LATE_MS = 3600 * 1000  # an hour behind leaves 23 to mend it in
RETRIES = 5
BATCH = 500
WINDOW_SECONDS = 5


class Billing(cdk.Stack):
    """The functions that no caller waits for."""

    def __init__(
        self, scope: Construct, name: str, common: Common, packed: Packed, storage: Storage, **options: Any
    ) -> None:
        super().__init__(scope, name, **options)
        self._common, self._packed, self._storage = common, packed, storage
        self._web = layer(self, "Web", packed.web.path, "FastAPI, Mangum and Powertools")
        meter, seal = self._meter(), self._seal()
        topic = self._topic()
        listing = {"IAM5[Resource::*]": "dynamodb:ListStreams knows no narrower resource."}
        acknowledge(self, {**storage.findings, **OLDER_PYTHON, **listing})
        self._alarm(
            "MeterLate",
            meter.metric("IteratorAge", statistic="Maximum"),
            LATE_MS,
            "rows wait to be archived",
            topic,
        )
        self._alarm(
            "MeterFailed", meter.metric_errors(statistic="Sum"), 1, "rows could not be archived", topic
        )
        self._alarm("SealFailed", seal.metric_errors(statistic="Sum"), 1, "a day was not sealed", topic)

    def _meter(self) -> lambda_.Function:
        storage = self._storage
        stream = str(storage.ledger.table_stream_arn)
        meter = self._function(
            "meter",
            512,
            60,
            allow(["s3:PutObject"], storage.objects(storage.archive, "usage")),
            allow(["s3:PutObject"], storage.objects(storage.archive, FAILED)),
            allow(["s3:ListBucket"], storage.archive.bucket_arn),
            allow(
                ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
                stream,
            ),
            allow(["dynamodb:ListStreams"], "*"),
        )
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "MeterMapping",
            function_name=meter.function_name,
            event_source_arn=stream,
            starting_position="TRIM_HORIZON",
            batch_size=BATCH,
            maximum_batching_window_in_seconds=WINDOW_SECONDS,
            maximum_retry_attempts=RETRIES,
            bisect_batch_on_function_error=True,
            function_response_types=["ReportBatchItemFailures"],
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=storage.archive.bucket_arn
                )
            ),
        )
        mapping.node.add_dependency(meter.role)  # Lambda tries the rights out when it makes a mapping
        return meter

    def _seal(self) -> lambda_.Function:
        storage = self._storage
        ours = [storage.objects(storage.archive, part) for part in ("usage", "seals")]
        seal = self._function(
            "seal",
            1024,
            900,
            allow(["s3:GetObject", "s3:PutObject"], *ours),
            allow(["s3:ListBucket"], storage.archive.bucket_arn),
            allow(["dynamodb:Scan", "dynamodb:UpdateItem"], storage.ledger.table_arn),
            allow(["kms:Sign", "kms:GetPublicKey"], storage.sealing_key.key_arn),
        )
        seal.add_environment("PAYPHONE_SEALING_KEY", storage.sealing_key.key_arn)
        nightly = events.CfnRule(
            self,
            "SealNightly",
            schedule_expression="cron(30 2 * * ? *)",  # UTC, when the day's stream has long run dry
            targets=[events.CfnRule.TargetProperty(id="seal", arn=seal.function_arn)],
        )
        lambda_.CfnPermission(
            self,
            "SealPermission",
            action="lambda:InvokeFunction",
            function_name=seal.function_arn,
            principal="events.amazonaws.com",
            source_arn=nightly.attr_arn,
        )
        return seal

    def _function(
        self, handler: str, memory: int, timeout: int, *rights: iam.PolicyStatement
    ) -> lambda_.Function:
        environment = {
            "PAYPHONE_STAGE": self._common.target.stage,
            "PAYPHONE_LEDGER_TABLE": self._storage.ledger.table_name,
            "PAYPHONE_ARCHIVE_BUCKET": self._storage.archive.bucket_name,
        }
        code = self._packed.code[handler].path
        deployed = Deployed(handler, code, [self._web], environment, memory, timeout, handler.capitalize())
        return function(self, handler.capitalize(), self._common, deployed, rights, self._storage.key)

    def _topic(self) -> sns.Topic | None:
        """Where alarms go, if anybody is to hear of them."""
        address = self._common.aws.alarms_to
        if not address:
            return None
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        topic.add_subscription(subscriptions.EmailSubscription(address))
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return topic

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.Metric,
        threshold: int,
        meaning: str,
        topic: sns.Topic | None,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"Payphone {self._common.target.stage}: {meaning}",
        )
        if topic:
            alarm.add_alarm_action(actions.SnsAction(topic))
