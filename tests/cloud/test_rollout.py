"""Deploys while customers call: a new version, the way back, and plans that change under their keys."""

import threading
from collections import Counter

import pytest

CALLERS = 2


class Callers:
    """Calls without a pause from several threads while the block runs; `answers` counts what came."""

    def __init__(self, cloud, key):
        self.cloud, self.key = cloud, key
        self.answers = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self):
        with self.cloud.http(self.key) as http:
            while not self._over.wait(0.02):
                answer = self.cloud.predict(http)
                version = answer.json().get("version", answer.text)
                self.answers[answer.status_code, version] += 1


@pytest.fixture(scope="module")
def changing(aws, make_cloud):
    """A stage of its own, as what is done here the other tests would notice."""
    made = make_cloud(aws, "changing")
    made.deploy()
    return made


@pytest.fixture(scope="module")
def key(changing):
    return changing.issue()


def label(cloud, key):
    with cloud.http(key) as http:
        document = cloud.predict(http).json()
    return document["version"], document["predictions"][0]["label"]


def versions(cloud, key, calls):
    """The versions that answered some calls."""
    with cloud.http(key) as http:
        return {cloud.predict(http).json()["version"] for _ in range(calls)}


def promote(cloud, version, *more):
    return cloud.run("model", "promote", "sentiment", version, "--stage", "changing", *more)


def test_a_new_version_and_the_way_back_without_a_failed_call(changing, key):
    cloud = changing
    assert label(cloud, key["key"]) == ("1", "positive")
    cloud.publish("bad", "good")
    with Callers(cloud, key["key"]) as callers:
        deployed = cloud.deploy()
        assert deployed["models"]["sentiment"] == {"deployed": "2", "live": "1"}
        assert label(cloud, key["key"]) == ("1", "positive")
        promote(cloud, "2")
        assert label(cloud, key["key"]) == ("2", "good")
        cloud.run("model", "rollback", "sentiment", "--stage", "changing")
        assert label(cloud, key["key"]) == ("1", "positive")
    assert {status for status, _ in callers.answers} == {200}, callers.answers
    assert sum(callers.answers.values()) > 20


def test_a_trial_gets_its_share_of_the_calls(changing, key):
    cloud = changing
    promote(cloud, "2", "--share", "40")
    assert versions(cloud, key["key"], 40) == {"1", "2"}
    cloud.run("model", "rollback", "sentiment", "--stage", "changing")
    assert versions(cloud, key["key"], 20) == {"1"}


def test_a_version_that_was_never_deployed_can_not_go_live(changing):
    done = changing.command("model", "promote", "sentiment", "9", "--stage", "changing", "--json")
    assert done.returncode == 1
    assert "version 9 of sentiment is not on stage changing yet" in done.stderr


def test_a_deploy_undoes_no_promotion_and_disconnects_no_customer(changing):
    """Plans get dearer, are renamed, removed and added: keys on the old ones work on, and new ones too."""
    cloud = changing
    promote(cloud, "2", "--share", "40")
    keys = {plan: cloud.issue(plan) for plan in ("edited", "former", "gone")}
    text = cloud.service.read_text()
    cloud.service.write_text(
        text[: text.index("[plans.edited]")]
        + "[plans.edited]\nprice_per_call = 0.005\n[plans.renamed]\nprice_per_call = 0.002\n"
    )
    with Callers(cloud, keys["gone"]["key"]) as callers:
        deployed = cloud.deploy()
    assert {status for status, _ in callers.answers} == {200}, callers.answers
    assert deployed["models"]["sentiment"] == {"deployed": "2", "live": "1"}
    assert versions(cloud, keys["edited"]["key"], 40) == {"1", "2"}  # the trial goes on
    for plan, issued in keys.items():
        with cloud.http(issued["key"]) as http:
            assert cloud.predict(http).status_code == 200, plan
    rotated = cloud.run("key", "rotate", keys["gone"]["key_id"], "--stage", "changing")
    assert versions(cloud, rotated["key"], 1)
    assert versions(cloud, cloud.issue("renamed")["key"], 1)
    (plan,) = {row["plan"]["S"] for row in cloud.rows(keys["former"]["key_id"])}
    assert plan == keys["former"]["plan"]
    plans = {row["plan"]["S"] for row in cloud.rows(keys["edited"]["key_id"])}
    assert plans
    assert keys["edited"]["plan"] not in plans
    with cloud.http(keys["edited"]["key"]) as http:
        assert http.get("/v1/models/sentiment").json()["price"]["per_call"] == "0.005"
    promote(cloud, "2")
    assert versions(cloud, keys["edited"]["key"], 10) == {"2"}
