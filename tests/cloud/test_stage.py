"""The operator's view of a deployed stage: doctor, diff, and a deploy that fails half-way."""

import subprocess
import sys


def test_doctor_has_nothing_to_say_against_a_fresh_stage(cloud, http):
    cloud.predict(http)
    cloud.eventually(lambda: cloud.names("access-log/"))
    told = cloud.run("doctor", "--stage", "test")
    assert told["ok"], [check for check in told["checks"] if not check["ok"]]
    checks = {check["check"] for check in told["checks"]}
    assert {"a call without a key", "access log", "ledger's stream", "seals", "alarms", "plan open"} <= checks
    assert {f"function of {model}" for model in ("sentiment", "ids", "large")} <= checks


def test_doctor_tells_what_was_done_by_hand(cloud):
    s3, bucket = cloud.client("s3"), cloud.outputs["ModelsBucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    done = cloud.command("doctor", "--stage", "test")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert done.returncode == 1
    assert "turn versioning on again" in done.stdout


def test_a_stage_that_is_not_there(cloud):
    done = cloud.command("key", "list", "--stage", "nowhere")
    assert done.returncode == 1
    assert "there is no stage nowhere in us-east-1: payphone deploy" in done.stderr


def test_what_a_deploy_would_change_is_only_what_was_edited(cloud):
    before = cloud.service.read_text()
    cloud.service.write_text(before + "[plans.another]\nprice_per_call = 1\n")
    try:
        assert changes(cloud) == {"AWS::ApiGateway::UsagePlan"}
    finally:
        cloud.service.write_text(before)


def test_the_cdk_alone_deploys_the_same_stage(cloud):
    """`cdk deploy` with nothing of ours around it finds nothing to do after `payphone deploy`."""
    places = {"PAYPHONE_STATE": str(cloud.state), "PAYPHONE_SERVICE": str(cloud.service)}
    command = [str(cloud.aws.tools.cdk), "deploy", "--all", "--require-approval=never", "--no-notices"]
    command += ["--app", f"{sys.executable} -m infra.app", "--output", str(cloud.state / "cdk.out")]
    environment = cloud.aws.environment() | places
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("(no changes)") == 4, said


def changes(cloud):
    """The types of resources that a deploy would change."""
    told = cloud.run("diff")["diff"].splitlines()
    return {line.split()[1] for line in told if line.startswith(("[+] AWS", "[-] AWS", "[~] AWS"))}


def test_a_deploy_that_fails_half_way_leaves_the_old_version_serving(cloud, http):
    """The account can't reserve so much; what had been changed before that is taken back."""
    before = cloud.service.read_text()
    client, name = cloud.client("lambda"), "payphone-test-predict-sentiment"
    live = client.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    version = cloud.predict(http).json()["version"]
    cloud.service.write_text(before + "[aws.models.sentiment]\nmemory = 640\nreserved_concurrency = 100000\n")
    try:
        done = cloud.command("deploy", "--json")
    finally:
        cloud.service.write_text(before)
    assert done.returncode == 1, done.stdout
    assert client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == live
    assert cloud.predict(http).json()["version"] == version
