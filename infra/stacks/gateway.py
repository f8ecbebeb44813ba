"""The address: the REST API with its routes, plans and access log, and the control plane behind it.

Calls of a model go to its own function, by two greedy routes and the V2 address of the model itself;
everything else goes to the control plane. The stack of those functions comes later and gets the API's
id from here, so they are called by their names. Counted per model: four of the API's 300 resources,
eight of the stack's 500.
"""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from functions.billing.plans import Plan
from infra.pack import Packed
from infra.rollout import ALIAS
from infra.service import Settings
from infra.stacks import access_log, problems
from infra.stacks.parts import OLDER_PYTHON, Common, Deployed, acknowledge, allow, function, layer, logical
from infra.stacks.storage import BY_CUSTOMER, Storage

CONTROL_SECONDS = 25  # under the gateway's 29, so that it is the function that says what took too long
GATEWAY_MS = 29_000

# Addresses that need no key: what a client looks at before it has one.
OPEN = ("docs", "openapi.json", "static-offline-docs", "v2/health")

REASONS = {
    "APIG2": "The functions check every body, against its model, and say what is wrong with it.",
    "APIG3": "A firewall costs money at rest: `web_acl` in service.toml puts one in front.",
    "APIG4": "Callers are known by API keys; what needs none is documentation and health.",
    "APIG6": "The gateway's execution log would hold payloads; the access log has every answer.",
    "COG4": "Callers are programs with API keys, not users who sign in.",
    **OLDER_PYTHON,
}


class Gateway(cdk.Stack):
    """The main stack of a stage; its outputs name everything that the operator's commands need."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        common: Common,
        settings: Settings,
        packed: Packed,
        storage: Storage,
        **options: Any,
    ) -> None:
        super().__init__(scope, name, **options)
        self._common, self._storage = common, storage
        control = self._control(settings, packed)
        self.api = self._api()
        problems.add_to(self.api)
        self._route(control, list(settings.models.serve))
        lambda_.CfnPermission(
            self,
            "ControlPermission",
            action="lambda:InvokeFunction",
            function_name=control.function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=self.api.arn_for_execute_api("*", "/*", "*"),
        )
        plans = {plan.name: self._plan(plan) for plan in settings.plans.values()}
        self._front(settings)
        self._outputs(plans)
        acknowledge(self, {**storage.findings, **REASONS})

    def _control(self, settings: Settings, packed: Packed) -> lambda_.Function:
        storage, common = self._storage, self._common
        web = layer(self, "Web", packed.web.path, "FastAPI, Mangum and Powertools")
        environment = {
            "PAYPHONE_STAGE": common.target.stage,
            "PAYPHONE_MODELS": ",".join(settings.models.serve),
            "PAYPHONE_ACCOUNTS_TABLE": storage.accounts.table_name,
            "PAYPHONE_ACCESS_TABLE": storage.access.table_name,
            "PAYPHONE_LEDGER_TABLE": storage.ledger.table_name,
            "PAYPHONE_ARCHIVE_BUCKET": storage.archive.bucket_name,
            "PAYPHONE_MODELS_BUCKET": storage.models.bucket_name,
            "PAYPHONE_ISSUER": settings.service.name,
        }
        index = f"{storage.access.table_arn}/index/{BY_CUSTOMER}"
        rights = [
            allow(["dynamodb:GetItem"], storage.access.table_arn, storage.accounts.table_arn),
            allow(["dynamodb:Query"], storage.accounts.table_arn),
            allow(["dynamodb:Query"], index),
            allow(["dynamodb:GetItem"], storage.ledger.table_arn),
            allow(["s3:ListBucket"], storage.archive.bucket_arn, storage.models.bucket_arn),
            allow(
                ["s3:GetObject"],
                *(storage.objects(storage.archive, part) for part in ("usage", "seals", "invoices")),
            ),
            allow(["s3:GetObject"], *(storage.objects(storage.models, part) for part in ("models", "plans"))),
        ]
        described = Deployed(
            "control", packed.code["control"].path, [web], environment, 1024, CONTROL_SECONDS, "Control plane"
        )
        return function(self, "Control", common, described, rights, storage.key)

    def _api(self) -> apigateway.RestApi:
        stream = access_log.stream(self, self._common, self._storage)
        return apigateway.RestApi(
            self,
            "Api",
            rest_api_name=self._common.target.stack,
            # All bodies travel as base64: the V2 binary extension's clients send no Accept header.
            binary_media_types=["*/*"],
            cloud_watch_role=False,
            api_key_source_type=apigateway.ApiKeySourceType.HEADER,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            disable_execute_api_endpoint=self._common.aws.domain is not None,
            deploy_options=apigateway.StageOptions(
                stage_name=self._common.target.stage,
                access_log_destination=apigateway.FirehoseLogDestination(stream),
                access_log_format=apigateway.AccessLogFormat.custom(access_log.FORMAT),
                logging_level=apigateway.MethodLoggingLevel.OFF,  # it would log payloads
                metrics_enabled=True,
            ),
        )

    def _route(self, control: lambda_.Function, models: list[str]) -> None:
        """Give every address a method, as the gateway does not look further up from one without."""
        to_control = self._integration(control.function_arn)
        root = self.api.root
        root.add_method("ANY", to_control, api_key_required=True)
        self._greedy(root, to_control)
        for path in OPEN:
            address = root.resource_for_path(path)
            if "." in path or path == "docs":
                address.add_method("ANY", to_control)
            else:
                self._greedy(address, to_control, key=False)
        for version in ("v1", "v2"):
            address = root.resource_for_path(version)
            address.add_method("ANY", to_control, api_key_required=version == "v1")
            self._greedy(address, to_control)
            listed = address.add_resource("models")
            listed.add_method("ANY", to_control, api_key_required=True)
            self._greedy(listed, to_control)
            for name in models:
                to_model = self._integration(self._alias_arn(name))
                model = listed.add_resource(name)
                described_by = to_control if version == "v1" else to_model
                model.add_method("ANY", described_by, api_key_required=True)
                self._greedy(model, to_model)

    def _greedy(
        self, address: apigateway.IResource, integration: apigateway.Integration, *, key: bool = True
    ) -> None:
        address.add_resource("{proxy+}").add_method("ANY", integration, api_key_required=key)

    def _integration(self, function_arn: str) -> apigateway.Integration:
        base = f"arn:{self.partition}:apigateway:{self.region}:lambda:path/2015-03-31/functions"
        return apigateway.Integration(
            type=apigateway.IntegrationType.AWS_PROXY,
            integration_http_method="POST",
            uri=f"{base}/{function_arn}/invocations",
            options=apigateway.IntegrationOptions(timeout=cdk.Duration.millis(GATEWAY_MS)),
        )

    def _alias_arn(self, model: str) -> str:
        name = self._common.target.function(model)
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{name}:{ALIAS}"

    def _plan(self, plan: Plan) -> apigateway.CfnUsagePlan:
        """A usage plan under an id that only its name decides, and that no later deploy takes away."""
        made = apigateway.CfnUsagePlan(
            self,
            f"Plan{logical(plan.name)}",
            usage_plan_name=f"{self._common.target.stack}-{plan.name}",
            api_stages=[
                apigateway.CfnUsagePlan.ApiStageProperty(
                    api_id=self.api.rest_api_id, stage=self.api.deployment_stage.stage_name
                )
            ],
            throttle=(
                apigateway.CfnUsagePlan.ThrottleSettingsProperty(
                    rate_limit=float(plan.rate), burst_limit=plan.burst
                )
                if plan.rate
                else None
            ),
            quota=(
                apigateway.CfnUsagePlan.QuotaSettingsProperty(limit=plan.quota, period="MONTH")
                if plan.quota and not plan.hard_limits  # what holds to the call is the ledger's
                else None
            ),
        )
        made.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        return made

    def _front(self, settings: Settings) -> None:
        """What an operator may put before the gateway: a name of one's own, a firewall."""
        aws = settings.aws
        if aws.domain and aws.certificate:
            domain = apigateway.CfnDomainName(
                self,
                "Domain",
                domain_name=aws.domain,
                regional_certificate_arn=aws.certificate,
                endpoint_configuration=apigateway.CfnDomainName.EndpointConfigurationProperty(
                    types=["REGIONAL"]
                ),
                security_policy="TLS_1_2",
            )
            mapping = apigateway.CfnBasePathMapping(
                self,
                "DomainMapping",
                domain_name=domain.ref,
                rest_api_id=self.api.rest_api_id,
                stage=self.api.deployment_stage.stage_name,
            )
            mapping.add_resource_dependency(domain)
            cdk.CfnOutput(self, "DomainTarget", value=domain.attr_regional_domain_name)
        if aws.web_acl:
            wafv2.CfnWebACLAssociation(
                self, "Firewall", web_acl_arn=aws.web_acl, resource_arn=self.api.deployment_stage.stage_arn
            )

    def _outputs(self, plans: dict[str, apigateway.CfnUsagePlan]) -> None:
        aws = self._common.aws
        url = f"https://{aws.domain}/" if aws.domain else self.api.url
        outputs = {
            "ApiUrl": url,
            "ApiId": self.api.rest_api_id,
            **self._storage.names(),
            "PlanIds": self.to_json_string({name: plan.ref for name, plan in plans.items()}),
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)
