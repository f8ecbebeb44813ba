"""A deployed stage as its operator sees it: the same stores as a state folder has, in the cloud.

Whatever works on a Workspace's registry, plans, books, usage, log, keys and customers works on a Stage's.
Credentials are the operator's own, found as boto3 finds them; functions have far fewer rights.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from functions.aws.credentials import Credentials
from functions.aws.s3 import Bucket
from functions.aws.service import dynamodb_in, parameters_in
from functions.billing.books import Books
from functions.billing.plans import PlanBook
from functions.metering.archive import Archive
from functions.metering.archived import ArchiveUsage
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.kms import KmsSigner
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.webhooks.dynamodb import DynamoDbOutbox, ParameterVault
from infra.cdk import outputs
from infra.cloud.access_log import StageLog
from infra.cloud.customers import StageCustomers
from infra.cloud.keys import StageKeys
from infra.cloud.result_lines import ResultLines
from infra.rollout import NotDeployed
from infra.target import Target
from models.registry import Registry
from models.s3 import S3Store


class Stage:
    """The stores of one stage."""

    def __init__(self, target: Target) -> None:
        """Read the stage's outputs; NotDeployed if there is no such stage."""
        self.target = target
        self.outputs = outputs(target.client("cloudformation"), target.stack)
        if "PlanIds" not in self.outputs:
            raise NotDeployed(f"there is no stage {target.stage} in {target.region}: payphone deploy")

    @property
    def url(self) -> str:
        """Where its API answers, without a slash at the end."""
        if self.target.is_local:  # nobody resolves the gateway's name there
            path = f"restapis/{self.outputs['ApiId']}/{self.target.stage}/_user_request_"
            return f"{os.environ['AWS_ENDPOINT_URL'].rstrip('/')}/{path}"
        return self.outputs["ApiUrl"].rstrip("/")

    def registry(self) -> Registry:
        """Published models."""
        return Registry(S3Store(self.outputs["ModelsBucket"], "models/", self.target.client("s3")))

    def plan_book(self) -> PlanBook:
        """Published plan versions."""
        return PlanBook(S3Store(self.outputs["ModelsBucket"], "", self.target.client("s3")))

    def books(self, issuer: str) -> Books:
        """Closed invoices and credit notes, beside the rows that they were made of."""
        return Books(S3Store(self.outputs["ArchiveBucket"], "invoices/", self.target.client("s3")), issuer)

    def archive(self) -> Archive:
        """What the ledger's stream has brought so far."""
        return Archive(Bucket(self.outputs["ArchiveBucket"], self.target.region, identity=Operator()))

    def usage(self) -> ArchiveUsage:
        """What reports and invoices read."""
        return ArchiveUsage(self.archive())

    def seals(self) -> Seals:
        """Signed days."""
        return Seals(self.archive().bucket)

    @contextmanager
    def sealing(self) -> Iterator[Sealer]:
        """Make seals, as the nightly function does, with the operator's own right to sign."""
        kms = self.target.client("kms")
        asked = {"Sign": kms.sign, "GetPublicKey": kms.get_public_key}
        signer = KmsSigner(
            self.outputs["SealingKey"], lambda operation, document: _ask(asked[operation], document)
        )
        yield Sealer(self.seals(), self.archive(), signer)

    def accounts(self) -> DynamoDbAccounts:
        """Wallets, and what months have used of their limits."""
        return DynamoDbAccounts(self.outputs["AccountsTable"], dynamodb_in(self.target.region, Operator()))

    def outbox(self) -> DynamoDbOutbox:
        """Webhooks, and what is on its way to them."""
        return DynamoDbOutbox(self.outputs["WebhooksTable"], dynamodb_in(self.target.region, Operator()))

    def vault(self) -> ParameterVault:
        """Where the webhooks' secrets are."""
        prefix = f"/{self.target.stack}/webhooks/"
        return ParameterVault(prefix, parameters_in(self.target.region, Operator()))

    def log(self) -> StageLog:
        """What the gateway has logged of every answer."""
        to = self.target
        lines = ResultLines(to.client("lambda"), to.client("logs"), to.function)
        return StageLog(self.archive().bucket, self.keys().by_gateway_id(), lines)

    def keys(self) -> StageKeys:
        """API keys and the plans in force."""
        return StageKeys(
            self.target.client("apigateway"),
            self.target.client("dynamodb"),
            self.outputs["AccessTable"],
            json.loads(self.outputs["PlanIds"]),
        )

    def customers(self) -> StageCustomers:
        """The identity records."""
        return StageCustomers(self.target.client("dynamodb"), self.outputs["CustomersTable"])


def _ask(operation: Callable[..., dict[str, Any]], document: dict[str, Any]) -> dict[str, Any]:
    """One operation of boto3's, which takes and gives bytes where the wire has base64."""
    if "Message" in document:
        document = {**document, "Message": b64decode(document["Message"])}
    return operation(**document)


class Operator:
    """boto3's credentials, which may come from a profile or a single sign-on, for our own S3 client."""

    def __init__(self) -> None:
        import boto3

        self._session = boto3.Session()

    def current(self) -> Credentials:
        """The credentials of this moment; boto3 renews those that expire."""
        found = self._session.get_credentials()
        if found is None:
            raise NoCredentials("there are no AWS credentials here: set AWS_PROFILE, or run `aws configure`")
        frozen = found.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

    def renounce(self, stale: Credentials) -> None:
        """Nothing is held here that could be stale."""


class NoCredentials(Exception):
    """boto3 finds no credentials."""
