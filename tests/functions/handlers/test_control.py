"""The control plane's handler, in this process: real routers, manifests, tables and archive."""

import base64
import json
from types import SimpleNamespace

import boto3
import pytest

from functions.aws.s3 import Bucket
from functions.billing.books import Books
from functions.billing.plans import Plan, PlanBook
from functions.metering.archive import Archive, Recorded
from functions.metering.event import UsageEvent

NOON = 1_795_435_200_000  # 2026-11-23T12:00:00Z
CONTEXT = SimpleNamespace(
    function_name="control",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:000000000000:function:control",
    aws_request_id="request",
)
TERMS = Plan(name="starter", currency="USD", price_per_call="0.002")


def row(number, **fields):
    return UsageEvent(
        f"gw:a{number}", (f"a{number}",), "key_1", "cus_a", TERMS.version, "sentiment", "1", "predict",
        2, 40, NOON + number, "",
    )._replace(**fields)  # fmt: skip


@pytest.fixture
def control(aws, access_table, ledger_table, make_bucket, sentiment, sentiment_workspace, load):
    aws.setenv("PAYPHONE_MODELS", "sentiment")
    aws.setenv("PAYPHONE_ISSUER", "Pay Phone")
    archive = make_bucket("PAYPHONE_ARCHIVE_BUCKET")
    models = make_bucket("PAYPHONE_MODELS_BUCKET")
    folder = sentiment_workspace.models / "sentiment"
    for file in (
        folder / "live.json",
        *(folder / sentiment_workspace.registry().live("sentiment")).iterdir(),
    ):
        models.put_object(Key=f"models/{file.relative_to(folder.parent)}", Body=file.read_bytes())
    region = boto3.Session().region_name
    PlanBook(Bucket(models.name, region)).publish(TERMS)
    Archive(Bucket(archive.name, region)).write(Recorded(str(n), row(n)) for n in range(3))
    return load("control")


@pytest.fixture
def ask(control, make_event, put_key):
    from functions.access.keys import Plan as Limits

    put_key(plan=Limits("starter", TERMS.version, 1.0, 1, 1), created_at=NOON)

    def send(path, method="GET", *, query=None, **options):
        event = make_event(method, path, **options)
        event["queryStringParameters"] = query
        answer = control.handler(event, CONTEXT)
        body = answer["body"]
        content = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
        return answer["statusCode"], answer["headers"], content

    return send


@pytest.fixture(autouse=True)
def plan_in_force(access_table):
    access_table.put_item(
        Item={
            "id": "plan#starter",
            "name": "starter",
            "version": TERMS.version,
            "rate": 1,
            "burst": 1,
            "quota": 1,
        }
    )


def test_models_are_shown_by_their_manifests(ask, sentiment):
    status, headers, body = ask("/v1/models")
    assert status == 200, body
    assert json.loads(body)["models"][0]["name"] == "sentiment"
    assert headers["x-request-id"].startswith("attempt")
    detail = json.loads(ask("/v1/models/sentiment")[2])
    assert detail["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert detail["labels"] == list(sentiment.manifest.labels)
    assert detail["price"] == {"plan": "starter", "currency": "USD", "per_call": "0.002"}


def test_usage_and_invoices_come_from_the_archive(ask):
    usage = json.loads(ask("/v1/usage", query={"month": "2026-11"})[2])
    assert (usage["customer"], usage["calls"], usage["units"]) == ("cus_a", 3, 6)
    status, _, body = ask("/v1/invoices", query={"month": "2026-11"})
    [invoice] = json.loads(body)["invoices"]
    assert (status, invoice["total"], invoice["rows"]["count"]) == (200, "0.01", 3)
    assert json.loads(ask("/v1/invoices", query={"month": "2026-10"})[2])["invoices"] == []


def test_closed_invoices_come_from_the_archives_bucket(ask, control):
    region = boto3.Session().region_name
    bucket = Bucket(control._set.archive_bucket, region, "invoices/")
    note = {"month": "2026-10", "currency": "USD", "invoice": "", "reason": "r", "calls": [], "total": "1.00"}
    books = Books(bucket, "Pay Phone")
    for customer in ("cus_a", "cus_b"):
        books.issue_note({"customer": customer, **note, "credits": [], "taxes": []}, NOON)
    (listed,) = json.loads(ask("/v1/invoices", query={"month": "2026-10"})[2])["invoices"]
    assert listed["number"] == "pay-phone-000001"
    status, headers, body = ask("/v1/invoices/pay-phone-000001", accept="text/html")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Credit note pay-phone-000001" in body
    assert ask("/v1/invoices/pay-phone-000002")[0] == 404


def test_a_caller_sees_his_keys_and_no_others(ask, put_key):
    put_key("gw2", key_id="key_2", created_at=NOON + 1, revoked_at=NOON + 2)
    put_key("gw3", key_id="key_3", customer="cus_b")
    keys = json.loads(ask("/v1/keys")[2])["keys"]
    assert [(key["key_id"], key["usable"]) for key in keys] == [("key_1", True), ("key_2", False)]
    assert "digest" not in json.dumps(keys)


@pytest.mark.parametrize(
    ("path", "query", "status", "kind"),
    [
        ("/v1/usage", {"month": "13"}, 422, "invalid-parameter"),
        ("/v1/invoices", {"month": "2026-13"}, 422, "invalid-parameter"),
        ("/v1/models/spam", None, 404, "model-not-found"),
        ("/v1/nothing", None, 404, "not-found"),
        ("/v2/models/spam", None, 404, "model-not-found"),
    ],
)
def test_what_is_wrong_is_a_problem_document(ask, path, query, status, kind):
    got, headers, body = ask(path, query=query)
    assert (got, json.loads(body)["type"]) == (status, f"urn:payphone:problem:{kind}")
    assert headers["content-type"] == "application/problem+json"
    assert ("error" in json.loads(body)) == path.startswith("/v2")


@pytest.mark.parametrize("key", ["gw-unknown", ""])
def test_a_gateway_key_without_our_record_opens_nothing(ask, key):
    assert ask("/v1/models", key=key)[0] == 401


def test_docs_find_their_files_behind_the_stage(ask):
    for stage in ("test", "v1"):
        status, _, page = ask("/docs", key="", stage=stage)
        assert status == 200
        assert f'"/{stage}/openapi.json"'.encode() in page.replace(b"'", b'"')
        assert json.loads(ask("/openapi.json", key="", stage=stage)[2])["info"]["title"] == "Payphone"
        assert ask("/v1/models", stage=stage)[0] == 200
    script = page.split(b'script src="')[1].split(b'"')[0].decode().removeprefix("/v1")
    assert ask(script, key="", stage="v1")[2].startswith(b"/*!")


def test_a_promotion_is_seen_and_a_model_that_is_not_served_is_not(ask, control, monkeypatch):
    catalog = control._app.state.context.catalog
    catalog._served = ("sentiment", "absent")
    assert catalog.names() == ["sentiment"]
    catalog._served = ()
    assert catalog.get("sentiment") is None
    assert json.loads(ask("/v1/models")[2])["models"] == []


def test_a_log_line_holds_no_query_and_no_body(control, ask):
    ask("/v1/usage", query={"month": "2026-11", "note": "secret"})
    out = control._logger.registered_handler.stream.getvalue()
    [line] = [json.loads(line) for line in out.splitlines() if '"message":"request"' in line]
    assert (line["status"], line["key_id"], line["path"]) == (200, "key_1", "/v1/usage")
    assert "secret" not in out
