"""The same calls here and there: the deployed stage answers like the local server, and bills the same."""

import json
import shutil

import pytest

PREDICT, INFER = "/v1/models/sentiment/predict", "/v2/models/sentiment/infer"
REVIEW = "A wonderful little film."
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [REVIEW]}
JSON = {"content-type": "application/json"}

# What each answer has of its own.
IDS = {"x-request-id", "payphone-call-id", "payphone-receipt", "date", "content-length"}
# API Gateway's, on every answer of its own account.
GATEWAYS = {"x-amzn-requestid", "x-amz-apigw-id", "x-amz-request-id", "x-amzn-errortype"}

# name → (method, path, body, with a key, in what the answers may differ)
CALLS = {
    "predict": ("POST", PREDICT, {"instances": [REVIEW, "Dull."]}, True, ()),
    "infer": ("POST", INFER, {"inputs": [TENSOR]}, True, ()),
    "infer a version": ("POST", "/v2/models/sentiment/versions/1/infer", {"inputs": [TENSOR]}, True, ()),
    "metadata": ("GET", "/v2/models/sentiment", None, True, ()),
    "ready": ("GET", "/v2/models/sentiment/ready", None, True, ()),
    "server": ("GET", "/v2", None, False, ()),
    # API Gateway gives an answer without a body a type all the same.
    "live": ("GET", "/v2/health/live", None, False, ("content-type",)),
    "models": ("GET", "/v1/models", None, True, ()),
    "model": ("GET", "/v1/models/sentiment", None, True, ()),
    "not JSON": ("POST", PREDICT, b"{", True, ()),
    "not JSON, V2": ("POST", INFER, b"{", True, ()),
    "no instances": ("POST", PREDICT, {"instances": []}, True, ()),
    "wrong value": ("POST", PREDICT, {"instances": [1]}, True, ()),
    "wrong tensor": ("POST", INFER, {"inputs": []}, True, ()),
    "wrong version": ("POST", "/v2/models/sentiment/versions/9/infer", {"inputs": [TENSOR]}, True, ()),
    "unknown model": ("POST", "/v1/models/nothing/predict", {"instances": [REVIEW]}, True, ()),
    "unknown model, V2": ("POST", "/v2/models/nothing/infer", {"inputs": [TENSOR]}, True, ()),
    "unknown address": ("GET", "/v1/nothing", None, True, ()),
    "wrong method": ("GET", PREDICT, None, True, ()),
    "too large": ("POST", PREDICT, {"instances": ["x" * 4_200_000]}, True, ("connection",)),
    # The gateway refuses before it knows of V1 or V2, so its document always has V2's "error" member.
    "no key": ("POST", PREDICT, {"instances": [REVIEW]}, False, ("error",)),
    "no key, V2": ("POST", INFER, {"inputs": [TENSOR]}, False, ()),
    "no key, usage": ("GET", "/v1/usage", None, False, ("error",)),
}


def binary(text, *, size=None, answer):
    """A V2 call with a binary tensor, and how many of its bytes are JSON; its answer binary or not."""
    tail = len(text.encode()).to_bytes(4, "little") + text.encode()
    tensor = {key: value for key, value in TENSOR.items() if key != "data"}
    tensor["parameters"] = {"binary_data_size": len(tail) if size is None else size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": answer}}).encode()
    return head + tail, len(head)


BINARY = {
    "binary in, JSON out": binary(REVIEW, answer=False),
    "binary in and out": binary(REVIEW, answer=True),
    "a tail that is too short": binary(REVIEW, size=9_999, answer=True),
    "a head beyond the end": (binary(REVIEW, answer=True)[0], 9_999),
}


@pytest.fixture(scope="module")
def local(cloud, make_server):
    """A local server with the models and the settings of the stage."""
    with make_server(cloud.service.read_text()) as server:
        shutil.rmtree(server.state / "models")
        shutil.copytree(cloud.state / "models", server.state / "models")
        yield server.start()


@pytest.fixture(scope="module")
def both(cloud, local):
    """A client without limits on either side, and one without a key."""
    here, there = local.issue("open")[0], cloud.issue("open")["key"]
    with (
        local.client(here) as a,
        cloud.http(there) as b,
        local.client() as nobody_a,
        cloud.http() as nobody_b,
    ):
        yield {True: (a, b), False: (nobody_a, nobody_b)}


def plain(answer, differing):
    """An answer without what is its own: status, headers, document."""
    known = IDS | GATEWAYS | set(differing)
    headers = {name: value for name, value in answer.headers.items() if name not in known}
    document = answer.json() if answer.content else None
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name not in differing}
        if "instance" in document:
            assert document["instance"].endswith(answer.headers["x-request-id"])
            del document["instance"]
        if "usage" in document:
            assert document["usage"].pop("call_id") == answer.headers["payphone-call-id"]
        for name in ("id", "parameters"):
            document.pop(name, None)
    return answer.status_code, headers, document


@pytest.mark.parametrize("name", CALLS)
def test_an_answer(both, name):
    method, path, body, keyed, differing = CALLS[name]
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    here, there = (
        client.request(method, path, content=content, headers=JSON if content else {})
        for client in both[keyed]
    )
    assert plain(there, differing) == plain(here, differing)


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_answer(both, name):
    body, head = BINARY[name]
    sent = {"content-type": "application/octet-stream", "inference-header-content-length": str(head)}
    here, there = (client.post(INFER, content=body, headers=sent) for client in both[True])
    if name != "binary in and out":
        assert plain(there, ()) == plain(here, ())
        return
    assert cut(there) == cut(here)
    assert cut(here)[3].startswith(b"\x08\0\0\0positive")


def cut(answer):
    """A binary answer without what is its own: status, headers, JSON, the bytes behind it."""
    length = "inference-header-content-length"
    own = IDS | GATEWAYS | {length}
    size = int(answer.headers[length])
    head, tail = answer.content[:size], answer.content[size:]
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, json.loads(head) | {"id": "", "parameters": {}}, tail


def test_the_same_calls_make_the_same_invoice_to_the_cent(cloud, local):
    key, record = local.issue("open", "cus_0000000000000002")
    issued = cloud.issue("open")
    with local.client(key) as here, cloud.http(issued["key"]) as there:
        for client in (here, there):
            for texts in ([REVIEW], [REVIEW, "Dull."], ["Dull."]):
                assert cloud.predict(client, json={"instances": texts}).status_code == 200
            for _ in range(2):  # the second is a replay
                cloud.predict(client, headers={"Idempotency-Key": "once"})
            assert cloud.predict(client, json={"instances": [1]}).status_code == 422
        cloud.eventually(lambda: there.get("/v1/usage").json()["calls"] == 4)
        mine, theirs = (client.get("/v1/usage").json() for client in (here, there))
    assert (mine["calls"], mine["units"]) == (theirs["calls"], theirs["units"]) == (4, 5)

    def lines(document):
        (invoice,) = document["invoices"]
        return [(line["plan"], line["quantity"], line["amount"]) for line in invoice["lines"]], invoice[
            "total"
        ]

    told = cloud.run("invoice", "show", issued["customer"], "--stage", "test")
    places = ["--state", str(local.state), "--service", str(local.service)]
    shown = cloud.command(*places, "invoice", "show", record.customer, "--json")
    assert shown.returncode == 0, shown.stderr
    assert lines(told) == lines(json.loads(shown.stdout))
    assert lines(told)[1] == "0.01"  # 4 calls of 0.002, rounded half up
