import json
import threading
from email.utils import formatdate
from time import time

import boto3
import pytest

from functions.aws import service as module
from functions.aws.service import Rejected, Unavailable, dynamodb_in, service_endpoint

SECONDS = 20


@pytest.fixture
def dynamodb(aws):
    service = dynamodb_in("eu-west-1")
    yield service
    service.close()


def error(acts, code, status=400, message="", **headers):
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    return acts.reply(status, json.dumps(body).encode(), **headers)


def test_what_is_sent_is_what_boto3_sends(aws, dynamodb):
    """The same put through both: same target, same body; then ours has nothing that is not needed."""
    item = {"call_id": {"S": "gw:é"}}
    body = json.dumps({"TableName": "usage", "Item": item}).encode()
    assert dynamodb.start("PutItem", body, SECONDS).answer() == b"{}"
    client = boto3.client("dynamodb", "eu-west-1", endpoint_url=aws.url)
    client.put_item(TableName="usage", Item=item)
    client.close()
    ours, theirs = aws.requests
    assert json.loads(ours.body) == json.loads(theirs.body)
    assert ours.line == theirs.line == "POST / HTTP/1.1"
    headers = {name.lower(): value for name, value in theirs.headers.items()}
    same = ("host", "content-type", "x-amz-target")
    assert [ours.headers[name] for name in same] == [
        headers.get(name, f"localhost:{aws.port}") for name in same
    ]
    assert list(ours.headers) == [
        *("content-type", "host", "x-amz-date", "x-amz-target", "authorization", "content-length")
    ]


def test_calls_share_a_connection_that_is_opened_ahead(aws, dynamodb):
    dynamodb.connect(SECONDS)
    assert (aws.connections, aws.requests) == (1, [])
    for _ in range(3):
        dynamodb.start("GetItem", b"{}", SECONDS).answer()
    assert aws.connections == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("RequestLimitExceeded", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_a_passing_fault_is_tried_again(aws, acts, dynamodb, code, status):
    aws.acts += [error(acts, code, status), error(acts, code, status), acts.reply(body=b'{"a":1}')]
    assert dynamodb.start("PutItem", b'{"b":2}', SECONDS).answer() == b'{"a":1}'
    assert [request.body for request in aws.requests] == [b'{"b":2}'] * 3
    assert aws.connections == 1


def test_a_lasting_fault_ends_with_the_attempts(aws, acts, dynamodb):
    aws.acts += [acts.reply(502, b"<html>")] * (module.MAX_ATTEMPTS + 1)
    with pytest.raises(Unavailable, match="HTTP status 502"):
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert len(aws.requests) == module.MAX_ATTEMPTS


def test_no_pause_is_begun_that_ends_after_the_deadline(aws, acts, dynamodb, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 1e6)
    aws.acts.append(error(acts, "ThrottlingException"))
    with pytest.raises(Unavailable, match="ThrottlingException"):
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert len(aws.requests) == 1


def test_a_refusal_is_not_tried_again(aws, acts, dynamodb):
    aws.acts.append(error(acts, "ResourceNotFoundException", message="no such table"))
    with pytest.raises(Rejected, match="ResourceNotFoundException: no such table") as refusal:
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert refusal.value.code == "ResourceNotFoundException"
    assert len(aws.requests) == 1


def test_a_raise_between_send_and_receive_leaks_no_answer(aws, acts, dynamodb):
    """Inference fails after the write was sent: the next call must not read that write's answer."""
    aws.acts += [acts.reply(body=b'{"of":"first"}'), acts.reply(body=b'{"of":"second"}')]

    def infer():
        call = dynamodb.start("PutItem", b"{}", SECONDS)
        raise RuntimeError(f"inference failed beside {call}")

    dynamodb.connect(SECONDS)
    with pytest.raises(RuntimeError):
        infer()
    aws.wait_for_requests(1)
    assert dynamodb.start("PutItem", b"{}", SECONDS).answer() == b'{"of":"second"}'
    assert [request.connection for request in aws.requests] == [1, 2]


def test_two_calls_under_way_have_a_connection_each(aws, acts, dynamodb):
    answered = threading.Event()
    aws.acts.append(acts.after(answered, acts.reply(body=b'{"of":"slow"}')))
    slow = dynamodb.start("PutItem", b"{}", SECONDS)
    aws.wait_for_requests(1)
    aws.acts.append(acts.reply(body=b'{"of":"fast"}'))
    assert dynamodb.start("PutItem", b"{}", SECONDS).answer() == b'{"of":"fast"}'
    answered.set()
    assert slow.answer() == b'{"of":"slow"}'
    assert aws.connections == 2


def test_a_connection_that_died_while_idle_is_replaced(aws, acts, dynamodb):
    """As after a freeze, in which the server has given up the connection."""
    dynamodb.start("GetItem", b"{}", SECONDS).answer()
    aws.hang_up_idle()
    assert dynamodb.start("PutItem", b'{"b":2}', SECONDS).answer() == b"{}"
    assert [(r.connection, r.body) for r in aws.requests] == [(1, b"{}"), (2, b'{"b":2}')]


@pytest.mark.parametrize("torn", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"])
def test_a_call_whose_answer_got_lost_is_sent_again(aws, acts, dynamodb, torn):
    dynamodb.start("GetItem", b"{}", SECONDS).answer()
    aws.acts += [acts.raw(torn, keep=False) if torn else acts.hang_up, acts.reply(body=b'{"done":1}')]
    assert dynamodb.start("PutItem", b'{"b":2}', SECONDS).answer() == b'{"done":1}'
    assert [(r.connection, r.body) for r in aws.requests[1:]] == [(1, b'{"b":2}'), (2, b'{"b":2}')]


def test_a_socket_that_swallows_everything_leaves_time_for_another(aws, acts, dynamodb):
    never = threading.Event()
    aws.acts += [acts.after(never, acts.hang_up), acts.reply(body=b'{"done":1}')]
    call = dynamodb.start("PutItem", b"{}", 1.0)
    assert call.answer() == b'{"done":1}'
    assert call.seconds_left > 0
    never.set()


def test_what_the_caller_does_in_between_is_not_counted(aws, dynamodb, monkeypatch):
    call = dynamodb.start("PutItem", b"{}", 5.0)
    later = module.monotonic() + 60
    monkeypatch.setattr(module, "monotonic", lambda: later)
    assert call.answer() == b"{}"


def test_nobody_to_be_reached_is_said_when_answered(aws, dynamodb):
    aws.close()
    call = dynamodb.start("PutItem", b"{}", 0.2)
    with pytest.raises(Unavailable, match="can't be reached"):
        call.answer()
    with pytest.raises(Unavailable, match="can't be reached"):
        dynamodb.connect(0.2)


def test_a_wrong_clock_is_corrected_by_the_servers(aws, acts, dynamodb):
    ahead = time() + 3600
    aws.acts += [
        error(
            acts,
            "InvalidSignatureException",
            message="Signature expired",
            Date=formatdate(ahead, usegmt=True),
        )
    ]
    assert dynamodb.start("PutItem", b"{}", SECONDS).answer() == b"{}"
    assert abs(dynamodb.signer.skew - 3600) < 30
    first, second = (request.headers["x-amz-date"] for request in aws.requests)
    assert first < second


def test_a_wrong_signature_is_no_matter_of_clocks_and_shows_no_token(aws, acts, dynamodb):
    date = formatdate(time(), usegmt=True)
    aws.acts.append(
        error(acts, "InvalidSignatureException", message="x-amz-security-token:hidden", Date=date)
    )
    with pytest.raises(Rejected, match="InvalidSignatureException") as refusal:
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert "hidden" not in str(refusal.value)
    assert len(aws.requests) == 1


def test_expired_credentials_are_fetched_anew_once(aws, acts, dynamodb, serve, monkeypatch):
    container = serve(tls=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url)
    for name in ("OLD", "NEW"):
        given = {"AccessKeyId": name, "SecretAccessKey": "s", "Token": f"token-{name}"}
        given["Expiration"] = "2099-01-01T00:00:00Z"
        container.acts.append(acts.reply(body=json.dumps(given).encode()))
    aws.acts.append(error(acts, "ExpiredTokenException"))
    assert dynamodb.start("PutItem", b"{}", SECONDS).answer() == b"{}"
    assert [r.headers["x-amz-security-token"] for r in aws.requests] == ["token-OLD", "token-NEW"]


def test_refused_credentials_of_the_environment_are_a_refusal(aws, acts, dynamodb):
    aws.acts.append(error(acts, "UnrecognizedClientException"))
    with pytest.raises(Rejected, match="UnrecognizedClientException"):
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert len(aws.requests) == 1


def test_a_call_without_credentials_says_so(aws, dynamodb, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Unavailable, match="no AWS credentials"):
        dynamodb.start("PutItem", b"{}", SECONDS).answer()
    assert aws.requests == []


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_endpoints_are_those_that_boto3_takes(partition):
    session = boto3.Session()
    regions = session.get_available_regions("dynamodb", partition)
    assert regions
    for region in regions[:5]:
        client = session.client("dynamodb", region)
        host, port, tls = service_endpoint("dynamodb", region)
        assert (client.meta.endpoint_url, port, tls) == (f"https://{host}", 443, True)
        client.close()


def test_an_endpoint_with_a_path_is_refused(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:8000/aws")
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL ends in '/aws'"):
        service_endpoint("dynamodb", "eu-west-1")
