"""What a deploy does to what is live, and to the plans that customers' keys are on."""

import pytest

from infra.rollout import Live

TRIAL = {"trial": {"name": "trial", "currency": "USD", "price_per_call": 0, "quota": 500}}


def alias(stage):
    return stage.one("Lambda::Alias", "Alias")


def is_new(version):
    """Whether it names the version that this deploy publishes."""
    return isinstance(version, dict) and version["Fn::GetAtt"][1] == "Version"


def test_the_first_version_is_live_at_once(plain):
    assert is_new(alias(plain)["FunctionVersion"])


def test_new_code_for_the_live_version_goes_live(stage):
    again = stage({"sentiment": "1"}, live={"sentiment": Live("7", "1", {})})
    assert is_new(alias(again)["FunctionVersion"])


def test_another_version_waits_to_be_promoted(stage):
    ready = stage({"sentiment": "2"}, live={"sentiment": Live("7", "1", {})})
    assert alias(ready)["FunctionVersion"] == "7"
    assert len(ready.of_type("Lambda::Version")) == 1


def test_a_trial_goes_on_through_a_deploy(stage):
    live = Live("7", "1", {"8": 0.25})
    kept = alias(stage({"sentiment": "1"}, live={"sentiment": live}))
    assert kept["FunctionVersion"] == "7"
    assert kept["RoutingConfig"]["AdditionalVersionWeights"] == [
        {"FunctionVersion": "8", "FunctionWeight": 0.25}
    ]


def test_versions_and_layers_outlive_the_deploy_that_made_them(plain):
    for kind in ("Lambda::Version", "Lambda::LayerVersion"):
        assert all(body["DeletionPolicy"] == "Retain" for body in plain.of_type(kind).values())


@pytest.mark.parametrize("models", [{"sentiment": "2"}, {"sentiment": "1", "digits": "1"}])
def test_a_usage_plan_keeps_its_id_whatever_else_changes(plain, stage, models):
    cheaper = {**TRIAL, "another": {**TRIAL["trial"], "name": "another"}}
    before, after = plain.of_type("ApiGateway::UsagePlan"), stage(models, plans=cheaper)
    assert set(before) == {"Plantrial", "PlanproX2"}
    assert set(after.of_type("ApiGateway::UsagePlan")) == {"Plantrial", "Plananother"}
    for body in before.values():  # so that one that is dropped from the settings keeps its customers
        assert body["DeletionPolicy"] == body["UpdateReplacePolicy"] == "Retain"


def test_limits_of_a_plan_reach_its_usage_plan(plain):
    trial = plain.one("ApiGateway::UsagePlan", "Plantrial")
    assert trial["Throttle"] == {"RateLimit": 2, "BurstLimit": 5}
    assert trial["Quota"] == {"Limit": 500, "Period": "MONTH"}
    assert not {"Throttle", "Quota"} & plain.one("ApiGateway::UsagePlan", "PlanproX2").keys()


def test_the_meter_sets_aside_what_it_can_not_read(plain):
    mapping = plain.one("Lambda::EventSourceMapping", "MeterMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"]
    assert "Archive" in str(mapping["DestinationConfig"]["OnFailure"]["Destination"])
    late = plain.one("CloudWatch::Alarm", "MeterLate")
    assert late["MetricName"] == "IteratorAge"
    assert late["Threshold"] < 24 * 3600 * 1000
