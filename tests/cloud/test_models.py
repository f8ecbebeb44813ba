"""Three models on one stage: from a layer, brought along by `payphone model add`, and read from S3."""

CALL = {"instances": ["A wonderful little film.", "Dull, loud and far too long."]}


def post(client, model, body):
    return client.post(f"/v1/models/{model}/predict", json=body)


def configuration(cloud, model):
    name = f"payphone-{cloud.stage}-predict-{model}"
    return cloud.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")


def test_each_model_has_a_function_of_its_own_and_all_share_the_books(cloud):
    key = cloud.issue()
    with cloud.http(key["key"]) as http:
        listed = {model["name"]: model["version"] for model in http.get("/v1/models").json()["models"]}
        assert listed == {"sentiment": "1", "ids": "1", "large": "1"}
        ids = http.get("/v2/models/ids").json()["inputs"]
        answers = {name: post(http, name, CALL) for name in ("sentiment", "large")}
        answers["ids"] = post(http, "ids", {"instances": [[1] * ids[0]["shape"][1]]})
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(listed, 200)
    assert {row["model"]["S"] for row in cloud.rows(key["key_id"])} == listed.keys()
    (plan,) = {row["plan"]["S"] for row in cloud.rows(key["key_id"])}
    assert plan == key["plan"]
    told = cloud.eventually(
        lambda: (
            (u := cloud.run("usage", "--stage", "test", "--customer", key["customer"], "--by", "model"))[
                "calls"
            ]
            == 3
            and u
        )
    )
    assert {group["model"]: group["calls"] for group in told["groups"]} == dict.fromkeys(listed, 1)


def test_a_model_read_from_s3_under_aws_runtime_client_answers_as_the_same_one_in_a_layer(cloud, http):
    large, small = configuration(cloud, "large"), configuration(cloud, "sentiment")
    assert large["Environment"]["Variables"]["PAYPHONE_ARTIFACT"].endswith("/models/large/1")
    assert (len(large["Layers"]), len(small["Layers"])) == (1, 2)
    wrappers = [one["Environment"]["Variables"].get("AWS_LAMBDA_EXEC_WRAPPER") for one in (large, small)]
    assert wrappers == [None, "/var/task/start"]  # AWS' runtime client, and ours
    assert cloud.registry.manifest("large").model.size > 20_000_000
    there, here = post(http, "large", CALL).json(), post(http, "sentiment", CALL).json()
    assert there["predictions"] == here["predictions"]


def test_a_key_for_one_model_knows_of_no_other(cloud):
    key = cloud.issue("open", None, "--models", "large")
    with cloud.http(key["key"]) as http:
        assert post(http, "large", CALL).status_code == 200
        hidden, unknown = post(http, "sentiment", CALL), post(http, "nothing", CALL)
        assert [model["name"] for model in http.get("/v1/models").json()["models"]] == ["large"]
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["type"] == unknown.json()["type"]
    assert {row["model"]["S"] for row in cloud.rows(key["key_id"])} == {"large"}
