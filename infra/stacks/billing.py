"""From the ledger's stream to the archive: the meter, the nightly seal, webhooks, and alarms on all three.

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
NOTIFY = "rate(5 minutes)"


class Billing(cdk.Stack):
    """The functions that no caller waits for."""

    def __init__(
        self, scope: Construct, name: str, common: Common, packed: Packed, storage: Storage, **options: Any
    ) -> None:
        super().__init__(scope, name, **options)
        self._common, self._packed, self._storage = common, packed, storage
        self._web = layer(self, "Web", packed.web.path, "FastAPI, Mangum and Powertools")
        meter, seal, notify = self._meter(), self._seal(), self._notify()
        topic = self._topic()
        wide = {
            "IAM5[Resource::*]": "dynamodb:ListStreams knows no narrower resource.",
            f"IAM5[Resource::{self._secrets('<AWS::Partition>', '<AWS::AccountId>')}]": (
                "Each webhook has a parameter of its own, added at run time."
            ),
        }
        acknowledge(self, {**storage.findings, **OLDER_PYTHON, **wide})
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
        self._alarm("NotifyFailed", notify.metric_errors(statistic="Sum"), 1, "webhooks wait", topic)
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
            allow(["dynamodb:GetItem"], storage.access.table_arn),
            allow(["dynamodb:UpdateItem"], storage.accounts.table_arn),
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
        # UTC, when the day's stream has long run dry.
        self._schedule("SealNightly", "SealPermission", "cron(30 2 * * ? *)", seal)
        return seal

    def _notify(self) -> lambda_.Function:
        storage = self._storage
        notify = self._function(
            "notify",
            256,
            300,
            allow(["dynamodb:Scan"], storage.accounts.table_arn),
            allow(["dynamodb:GetItem"], storage.access.table_arn),
            allow(
                ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"],
                storage.webhooks.table_arn,
            ),
            allow(["ssm:GetParameter"], self._secrets(self.partition, self.account)),
        )
        self._schedule("NotifyOften", "NotifyPermission", NOTIFY, notify)
        return notify

    def _secrets(self, partition: str, account: str) -> str:
        """The ARN of the parameters that hold webhooks' secrets."""
        stack = self._common.target.stack
        return f"arn:{partition}:ssm:{self.region}:{account}:parameter/{stack}/webhooks/*"

    def _schedule(self, name: str, permission: str, when: str, run: lambda_.Function) -> None:
        target = events.CfnRule.TargetProperty(id=name.lower(), arn=run.function_arn)
        rule = events.CfnRule(self, name, schedule_expression=when, targets=[target])
        lambda_.CfnPermission(
            self,
            permission,
            action="lambda:InvokeFunction",
            function_name=run.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )

    def _function(
        self, handler: str, memory: int, timeout: int, *rights: iam.PolicyStatement
    ) -> lambda_.Function:
        environment = {
            "PAYPHONE_STAGE": self._common.target.stage,
            "PAYPHONE_LEDGER_TABLE": self._storage.ledger.table_name,
            "PAYPHONE_ACCESS_TABLE": self._storage.access.table_name,
            "PAYPHONE_ACCOUNTS_TABLE": self._storage.accounts.table_name,
            "PAYPHONE_WEBHOOKS_TABLE": self._storage.webhooks.table_name,
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
