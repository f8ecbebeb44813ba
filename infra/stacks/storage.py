"""What must outlive every deploy: the ledger, wallets, keys and customers, the archive, the models.

A stack of its own, so that the service can be torn down and put up again around it. All of it is
retained even when the stack is deleted; only `payphone destroy --with-data` removes it.
"""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stacks.parts import Common, acknowledge

BY_CUSTOMER = "by-customer"
UNLOGGED = (
    "Server access logs would need a bucket that itself has none, and arrive without a guarantee; who needs "
    "a record of reads turns on CloudTrail data events for this bucket."
)


class Storage(cdk.Stack):
    """Tables and buckets. The ledger's key is `call_id`, the accounts' account and entry, of others `id`."""

    def __init__(self, scope: Construct, name: str, common: Common, **options: Any) -> None:
        super().__init__(scope, name, **options)
        # An Ed25519 key never leaves KMS, and KMS rotates none: another key is another resource.
        self.sealing_key = kms.Key(
            self,
            "SealingKey",
            key_spec=kms.KeySpec.ECC_NIST_EDWARDS25519,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            description="Signs the roots of each day's calls, which customers verify receipts by",
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        self.key = self._key() if common.aws.customer_managed_key else None
        self.ledger = self._table(
            "Ledger",
            "call_id",
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            time_to_live_attribute="expires_at",
        )
        self.access = self._table("Access", "id")
        self.access.add_global_secondary_index(
            index_name=BY_CUSTOMER,
            partition_key=dynamodb.Attribute(name="customer", type=dynamodb.AttributeType.STRING),
        )
        self.accounts = self._table(
            "Accounts",
            "account",
            sort_key=dynamodb.Attribute(name="entry", type=dynamodb.AttributeType.STRING),
        )
        self.webhooks = self._table(
            "Webhooks",
            "kind",
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires_at",
        )
        self.customers = self._table("Customers", "id")
        self.archive = self._bucket("Archive")
        self.models = self._bucket("Models")
        # A deploy publishes into the bucket before there is a main stack, and destroy comes after it.
        for output, value in self.names().items():
            cdk.CfnOutput(self, f"{output}Output", value=value).override_logical_id(output)
        self.findings: dict[str, str] = {}
        self._exported: dict[str, str] = {}

    def names(self) -> dict[str, str]:
        """The names of tables and buckets and the sealing key, as outputs name them."""
        return {
            "LedgerTable": self.ledger.table_name,
            "AccountsTable": self.accounts.table_name,
            "WebhooksTable": self.webhooks.table_name,
            "AccessTable": self.access.table_name,
            "CustomersTable": self.customers.table_name,
            "ArchiveBucket": self.archive.bucket_name,
            "ModelsBucket": self.models.bucket_name,
            "SealingKey": self.sealing_key.key_arn,
        }

    def objects(self, bucket: s3.Bucket, prefix: str) -> str:
        """The ARN of all objects below a prefix, for a stack that grants a right on them.

        That stack acknowledges `findings`, which then say why there is a wildcard.
        """
        export = f"{self.stack_name}-{bucket.node.id.lower()}"
        if export not in self._exported:
            self._exported[export] = self.export_value(bucket.bucket_arn, name=export)
        self.findings[f"IAM5[Resource::{export}/{prefix}/*]"] = (
            f"What comes to lie below {prefix}/ is not known before; nothing outside of it is granted."
        )
        return f"{self._exported[export]}/{prefix}/*"

    def _key(self) -> kms.Key:
        key = kms.Key(self, "Key", enable_key_rotation=True, removal_policy=cdk.RemovalPolicy.RETAIN)
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": (
                            f"arn:{self.partition}:logs:{self.region}:{self.account}:*"
                        )
                    }
                },
            )
        )
        return key

    def _table(self, name: str, key: str, **options: Any) -> dynamodb.Table:
        encryption = dynamodb.TableEncryption.DEFAULT  # a key that AWS owns, free of charge
        if self.key:
            encryption = dynamodb.TableEncryption.CUSTOMER_MANAGED
        return dynamodb.Table(
            self,
            name,
            partition_key=dynamodb.Attribute(name=key, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=encryption,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            **options,
        )

    def _bucket(self, name: str) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            name,
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            bucket_key_enabled=True if self.key else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        acknowledge(bucket, {"S1": UNLOGGED})
        return bucket
