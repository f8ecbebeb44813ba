"""Template properties that ministack's provisioners drop without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from access_log import check_destination
from ministack.services import apigateway_v1 as v1
from ministack.services import dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners

CONCURRENCY, UNRESERVED = 1000, 100  # of an account, unless it asked for more


def stage(name: str, properties: dict[str, Any]) -> None:
    """AccessLogSetting of an API Gateway stage."""
    setting = properties.get("AccessLogSetting") or {}
    check_destination(setting.get("DestinationArn", ""))
    found = v1._stages_v1.get(properties["RestApiId"], {}).get(name)
    if found is not None:
        named = {"destinationArn": setting.get("DestinationArn"), "format": setting.get("Format")}
        found["accessLogSettings"] = named if setting else {}


def rest_api(identity: str, properties: dict[str, Any]) -> None:
    """ApiKeySourceType of a REST API."""
    v1._rest_apis[identity]["apiKeySource"] = properties.get("ApiKeySourceType", "HEADER")


def function(name: str, properties: dict[str, Any]) -> None:
    """ReservedConcurrentExecutions of a function."""
    reserved = properties.get("ReservedConcurrentExecutions")
    if int(reserved or 0) > CONCURRENCY - UNRESERVED:
        raise ValueError(
            f"Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{UNRESERVED}]."
        )
    lambda_svc._functions[name]["concurrency"] = None if reserved is None else int(reserved)


def table(name: str, properties: dict[str, Any]) -> None:
    """PointInTimeRecoverySpecification of a table."""
    wanted = (properties.get("PointInTimeRecoverySpecification") or {}).get("PointInTimeRecoveryEnabled")
    specification = {"PointInTimeRecoveryEnabled": str(wanted).lower() == "true"}
    request = {"TableName": name, "PointInTimeRecoverySpecification": specification}
    status, _, answer = dynamodb._update_continuous_backups(request)
    if status >= 400:
        raise ValueError(f"UpdateContinuousBackups of {name} failed: {answer!r}")


def install() -> None:
    """Apply these after each create and update of their resources."""
    completions: dict[str, Callable[[str, dict[str, Any]], None]] = {
        "AWS::ApiGateway::Stage": stage,
        "AWS::ApiGateway::RestApi": rest_api,
        "AWS::DynamoDB::Table": table,
        "AWS::Lambda::Function": function,
    }
    for resource, complete in completions.items():
        handlers = provisioners._RESOURCE_HANDLERS[resource]
        for operation, position in (("create", 1), ("update", 2)):
            handlers[operation] = _completed(handlers[operation], complete, position)


def _completed(
    provision: Callable[..., Any], complete: Callable[..., None], position: int
) -> Callable[..., Any]:
    """`provision`, then `complete` with the physical id and the properties (argument `position`)."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        outcome = provision(*arguments, **options)
        complete(outcome[0], arguments[position])
        return outcome

    return wrapped
