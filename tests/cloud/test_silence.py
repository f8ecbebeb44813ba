"""Nothing that a customer sends is written anywhere: no body, no key, no header, in no log and no table."""

import gzip
import json
import uuid

CALLS = "/v1/models/sentiment/predict"


def test_no_body_no_key_and_no_header_is_written_anywhere(cloud):
    key, secret = cloud.issue(), f"secret{uuid.uuid4().hex}"
    with cloud.http(key["key"], **{"user-agent": secret}) as http:
        answer = http.post(CALLS, json={"instances": [secret]}, headers={"idempotency-key": secret})
        assert answer.status_code == 200
        bodies = ({"instances": [{secret: secret}]}, {secret: []}, {"instances": [secret] * 100}, secret)
        for body in bodies:
            assert 400 <= http.post(CALLS, json=body).status_code < 500
        cut = f'{{"instances": ["{secret}'.encode()
        for kind in ("application/json", secret):
            refused = http.post(CALLS, content=cut, headers={"content-type": kind})
            assert 400 <= refused.status_code < 500
        assert http.post("/v2/models/sentiment/infer", json={"inputs": [secret]}).status_code >= 400
        assert http.get("/v1/usage", params={"month": secret}).status_code >= 400
    call = answer.json()["usage"]["call_id"]
    cloud.eventually(lambda: [row for row in cloud.archived(key["key_id"]) if row["call_id"] == call])
    cloud.eventually(lambda: cloud.access_log().get(answer.headers["x-request-id"]))
    written = {"logs": logs(cloud), "tables": tables(cloud), "archive": archive(cloud)}
    for where, text in written.items():
        assert call in text, where  # so this is where calls are written
        assert secret not in text, where
        assert key["key"] not in text, where
    assert answer.headers["x-request-id"] in written["logs"]


def logs(cloud):
    """Every line of every log group."""
    client = cloud.client("logs")
    groups = [
        g["logGroupName"]
        for p in client.get_paginator("describe_log_groups").paginate()
        for g in p["logGroups"]
    ]
    events = client.get_paginator("filter_log_events")
    return "\n".join(
        e["message"] for group in groups for p in events.paginate(logGroupName=group) for e in p["events"]
    )


def tables(cloud):
    """Every item of every table."""
    client = cloud.client("dynamodb")
    names = client.list_tables()["TableNames"]
    pages = (p for name in names for p in client.get_paginator("scan").paginate(TableName=name))
    return json.dumps([item for page in pages for item in page["Items"]], default=str)


def archive(cloud):
    """Every object of the archive bucket, the access log among them."""
    found = cloud.objects("").items()
    return "\n".join(
        (gzip.decompress(d) if name.endswith(".gz") else d).decode("latin-1") for name, d in found
    )
