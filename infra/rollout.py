"""Which version of a model answers calls on a stage: the alias "live" of its Lambda function.

Every deploy of a model version publishes a version of the function, which stays. The alias names the
one that is live, and what share of the calls another gets for a trial. That is data, changed by
`promote` and `rollback` in one call to Lambda; a deploy reads it and writes back the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from infra.target import Target
from models.registry import Registry

ALIAS = "live"
VERSION_VARIABLE = "PAYPHONE_MODEL_VERSION"


class Live(NamedTuple):
    """What an alias says. `function_version` is Lambda's number, `model_version` ours.

    `trial` is the share of calls (0 to 1) by Lambda's version number.
    """

    function_version: str
    model_version: str
    trial: dict[str, float]


class NotDeployed(Exception):
    """The stage has no such model, or not this version of it; the message says what to do."""


def live(target: Target, model: str) -> Live | None:
    """What answers calls now; None if the model was never deployed to this stage."""
    client = target.client("lambda")
    try:
        alias = client.get_alias(FunctionName=target.function(model), Name=ALIAS)
    except client.exceptions.ResourceNotFoundException:
        return None
    number = alias["FunctionVersion"]
    found = client.get_function_configuration(FunctionName=target.function(model), Qualifier=number)
    trial = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Live(number, _model_version(found), {other: float(share) for other, share in trial.items()})


def all_live(target: Target, models: Sequence[str]) -> dict[str, Live]:
    """What answers calls now, of the models that the stage has."""
    found = {name: live(target, name) for name in models}
    return {name: one for name, one in found.items() if one is not None}


def deployed(target: Target, model: str) -> dict[str, str]:
    """Lambda's newest version number by model version, of all that can be made live at once."""
    client = target.client("lambda")
    numbers: dict[str, str] = {}
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=target.function(model))
    for page in pages:
        for entry in page["Versions"]:
            if entry["Version"] != "$LATEST":
                number, version = entry["Version"], _model_version(entry)
                numbers[version] = max(number, numbers.get(version, "0"), key=int)
    return numbers


def promote(target: Target, registry: Registry, model: str, version: str, share: float = 1.0) -> str | None:
    """Make a model version live, or give it a share of the calls; gives the version that was live.

    NotDeployed if the stage has no function of this version yet.
    """
    before = live(target, model)
    if before is None:
        raise NotDeployed(f"stage {target.stage} has no model {model}: payphone deploy")
    number = deployed(target, model).get(version)
    if number is None:
        raise NotDeployed(
            f"version {version} of {model} is not on stage {target.stage} yet: make it live here "
            f"(payphone model promote {model} {version}), then payphone deploy"
        )
    if share < 1 and number != before.function_version:
        _point(target, model, before.function_version, {number: share})
        return before.model_version
    _point(target, model, number, {})
    registry.promote(model, version)
    return before.model_version


def rollback(target: Target, registry: Registry, model: str) -> tuple[str, str]:
    """End a trial, or else go back to the version that was live before; gives (from, to).

    NotDeployed; UnknownModel if nothing was live before.
    """
    now = live(target, model)
    if now is None:
        raise NotDeployed(f"stage {target.stage} has no model {model}: payphone deploy")
    if now.trial:
        _point(target, model, now.function_version, {})
        return now.model_version, now.model_version
    numbers = deployed(target, model)
    version = registry.rollback(model)
    if version not in numbers:
        registry.promote(model, now.model_version)
        raise NotDeployed(f"version {version} of {model} was live before, and stage {target.stage} lacks it")
    _point(target, model, numbers[version], {})
    return now.model_version, version


def _point(target: Target, model: str, number: str, trial: dict[str, float]) -> None:
    target.client("lambda").update_alias(
        FunctionName=target.function(model),
        Name=ALIAS,
        FunctionVersion=number,
        RoutingConfig={"AdditionalVersionWeights": trial},
    )


def _model_version(configuration: dict[str, Any]) -> str:
    variables = (configuration.get("Environment") or {}).get("Variables") or {}
    return str(variables.get(VERSION_VARIABLE, ""))
