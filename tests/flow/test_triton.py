"""NVIDIA's own client, unchanged, against the server."""

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

TEXTS = ["A delight from start to end.", "Dull, loud and far too long.", "né 漢字"]


@pytest.fixture(scope="module")
def headers(server):
    return {"x-api-key": server.issue()[0]}


@pytest.fixture(scope="module")
def client(server):
    made = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield made
    made.close()


def tensor(texts, binary):
    data = triton.InferInput("text", [len(texts)], "BYTES")
    data.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    return [data]


def test_health_and_metadata(client, headers):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sentiment", headers=headers)
    assert client.is_model_ready("sentiment", "1", headers=headers)
    assert not client.is_model_ready("nothing", headers=headers)
    assert client.get_server_metadata()["name"] == "payphone"
    metadata = client.get_model_metadata("sentiment", headers=headers)
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"][0]["name"] == "label"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer(client, server, headers, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        names = [o["name"] for o in client.get_model_metadata("sentiment", headers=headers)["outputs"]]
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    result = client.infer(
        "sentiment", tensor(TEXTS, binary_in), outputs=outputs, request_id="7", headers=dict(headers)
    )
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("7", "sentiment", "1")
    labels = [item.decode() if isinstance(item, bytes) else item for item in result.as_numpy("label")]
    score_name = response["outputs"][1]["name"]
    scores = result.as_numpy(score_name)
    assert scores.shape == (3, 1) and scores.dtype == np.float32
    assert labels == ["positive" if score > 0.5 else "negative" for score in scores[:, 0]]
    with server.client(headers["x-api-key"]) as http:
        same = http.post("/v1/models/sentiment/predict", json={"instances": TEXTS}).json()["predictions"]
    assert [p["label"] for p in same] == labels
    assert np.allclose([p["probabilities"]["positive"] for p in same], scores[:, 0], atol=1e-6)


def test_its_errors_are_readable(client, headers):
    with pytest.raises(InferenceServerException, match="No such model"):
        client.infer("nothing", tensor(TEXTS, True), headers=headers)
    with pytest.raises(InferenceServerException, match="valid API key"):
        client.infer("sentiment", tensor(TEXTS, True))
    wrong = triton.InferInput("text", [3, 1], "BYTES")
    wrong.set_data_from_numpy(np.array([[t] for t in TEXTS], dtype=object))
    with pytest.raises(InferenceServerException, match=r"should have the shape \[-1\]"):
        client.infer("sentiment", [wrong], headers=headers)
