"""The models: one Lambda function each, published as versions behind the alias "live".

A deploy publishes a version of the function if anything about it changed. The alias moves to it only
if it carries the model version that is live anyway (new code, new settings) or if there was none;
which model version is live is for `payphone model promote` and `rollback` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.pack import Packed, PackedModel
from infra.rollout import ALIAS, VERSION_VARIABLE, Live
from infra.stacks.parts import OLDER_PYTHON, Common, Deployed, acknowledge, allow, function, layer, logical
from infra.stacks.storage import Storage
from layers.bundle import WRAPPER

PREDICT_SECONDS = 25  # under the gateway's 29: a function that is cut off can still void its row


class Serving(cdk.Stack):
    """The functions that answer calls."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        common: Common,
        packed: Packed,
        live: Mapping[str, Live],
        storage: Storage,
        api_arn: str,
        **options: Any,
    ) -> None:
        super().__init__(scope, name, **options)
        self._common, self._packed, self._storage = common, packed, storage
        self._runtime = layer(self, "Runtime", packed.runtime.path, "LiteRT")
        for model in packed.models:
            self._model(model, live.get(model.manifest.name), api_arn)
        acknowledge(self, {**storage.findings, **OLDER_PYTHON})

    def _model(self, model: PackedModel, live: Live | None, api_arn: str) -> None:
        name, version = model.manifest.name, model.manifest.version
        made = self._function(model)
        alias = lambda_.CfnAlias(
            self,
            f"Alias{logical(name)}",
            name=ALIAS,
            function_name=made.function_name,
            function_version=made.current_version.version,
        )
        if kept := model.settings.provisioned_concurrency:
            alias.provisioned_concurrency_config = (
                lambda_.CfnAlias.ProvisionedConcurrencyConfigurationProperty(
                    provisioned_concurrent_executions=kept
                )
            )
        if live and (live.trial or live.model_version != version):
            alias.function_version = live.function_version
            if live.trial:
                alias.routing_config = lambda_.CfnAlias.AliasRoutingConfigurationProperty(
                    additional_version_weights=[
                        lambda_.CfnAlias.VersionWeightProperty(function_version=number, function_weight=share)
                        for number, share in live.trial.items()
                    ]
                )
        lambda_.CfnPermission(
            self,
            f"Permission{logical(name)}",
            action="lambda:InvokeFunction",
            function_name=alias.ref,
            principal="apigateway.amazonaws.com",
            source_arn=api_arn,
        )

    def _function(self, model: PackedModel) -> lambda_.Function:
        storage, common = self._storage, self._common
        name, version = model.manifest.name, model.manifest.version
        environment = {
            "PAYPHONE_STAGE": common.target.stage,
            "PAYPHONE_MODEL": name,
            VERSION_VARIABLE: version,
            "PAYPHONE_LEDGER_TABLE": storage.ledger.table_name,
            "PAYPHONE_ACCOUNTS_TABLE": storage.accounts.table_name,
            "PAYPHONE_ACCESS_TABLE": storage.access.table_name,
        }
        rights: list[iam.PolicyStatement] = [
            allow(["dynamodb:PutItem", "dynamodb:GetItem"], storage.ledger.table_arn),
            allow(["dynamodb:UpdateItem"], storage.accounts.table_arn),
            allow(["dynamodb:GetItem"], storage.access.table_arn),
        ]
        if model.settings.own_client:
            environment["AWS_LAMBDA_EXEC_WRAPPER"] = WRAPPER
        layers = [self._runtime]
        if model.layer:
            described = f"{name} {version}"
            layers.append(layer(self, f"Model{logical(name)}", model.layer.path, described))
        else:
            place = f"models/{name}/{version}"
            environment["PAYPHONE_ARTIFACT"] = f"s3://{storage.models.bucket_name}/{place}"
            rights.append(allow(["s3:GetObject"], storage.objects(storage.models, place)))
        deployed = Deployed(
            "predict",
            self._packed.code["predict"].path,
            layers,
            environment,
            model.settings.memory,
            PREDICT_SECONDS,
            f"Answers calls of {name}",
            model.settings.reserved_concurrency,
            model.settings.snap_start,
        )
        identity = f"Predict{logical(name)}"
        return function(self, identity, common, deployed, rights, storage.key, common.target.function(name))
