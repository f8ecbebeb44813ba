"""The S3 client: its requests as a server sees them, and its promises as a Store against moto."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import boto3
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from moto.server import ThreadedMotoServer

from functions.aws import s3
from functions.aws.credentials import Credentials
from functions.aws.s3 import Bucket
from functions.aws.service import Rejected, Unavailable
from models.store import AlreadyStored, NotInStore

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setattr(s3, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="session")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def theirs(moto, monkeypatch):
    """The bucket as boto3 has it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    bucket = boto3.resource("s3", region_name=REGION).Bucket("things")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})
    yield bucket
    bucket.objects.delete()
    bucket.delete()


@pytest.fixture
def bucket(theirs):
    return Bucket("things", REGION, "models/")


@pytest.fixture
def local(serve, monkeypatch):
    """A bucket on a server that does as the test says."""
    server = serve(tls=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return server, Bucket("things", REGION)


def answer(status=200, body=b"", **headers):
    names = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    data = f"HTTP/1.1 {status} X\r\n{names}content-length: {len(body)}\r\n\r\n".encode() + body

    def act(client):
        client.sendall(data)
        return True

    return act


def error(status, code):
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())


def test_a_store_below_a_prefix(bucket, theirs):
    bucket.put("a/1/model", b"\0\xff" * 1000)
    bucket.put("a/1/odd name +%é", b"")
    assert bucket.get("a/1/model") == b"\0\xff" * 1000
    assert bucket.get("a/1/odd name +%é") == b""
    assert bucket.list("a/") == ["a/1/model", "a/1/odd name +%é"]
    assert {o.key for o in theirs.objects.all()} == {"models/a/1/model", "models/a/1/odd name +%é"}
    with pytest.raises(NotInStore, match="a/2"):
        bucket.get("a/2")
    assert bucket.list("b/") == []


def test_put_never_replaces_and_swap_only_what_was_read(bucket):
    bucket.put("a", b"first")
    with pytest.raises(AlreadyStored, match="a"):
        bucket.put("a", b"second")
    assert bucket.get("a") == b"first"
    bucket.swap("live", b"1", expected=None)
    bucket.swap("live", b"2", expected=b"1")
    for expected in (None, b"1", b""):
        with pytest.raises(AlreadyStored):
            bucket.swap("live", b"3", expected=expected)
    with pytest.raises(AlreadyStored):
        bucket.swap("never", b"1", expected=b"0")
    assert bucket.get("live") == b"2"


def test_of_eight_writers_one_wins(bucket):
    together = threading.Barrier(8)

    def write(number):
        together.wait()
        try:
            bucket.put("one", str(number).encode())
        except AlreadyStored:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert bucket.get("one") == str(won.index(True)).encode()


def test_folders_are_what_comes_before_the_next_slash(bucket):
    for name in ("usage/day=1/a", "usage/day=1/b", "usage/day=2/a", "usage/loose"):
        bucket.put(name, b"")
    assert bucket.folders("usage/") == ["day=1", "day=2"]


def test_many_and_large_objects_come_in_their_order(bucket, monkeypatch):
    monkeypatch.setattr(s3, "RANGE", 1000)
    large = bytes(range(256)) * 100
    bucket.put("large", large)
    assert bucket.get_large("large", len(large)) == large
    names = [f"n{number:02}" for number in range(30)]
    for name in names:
        bucket.put(name, name.encode())
    assert list(bucket.get_each(names)) == [name.encode() for name in names]
    with pytest.raises(NotInStore, match="missing"):
        list(bucket.get_each(["n00", "missing", "n01"]))
    assert bucket.get("n02") == b"n02"


def test_reads_are_under_way_together_and_connections_kept(local):
    server, bucket = local
    server.acts.extend([answer(body=b"x")] * 40)
    reading = bucket.get_each(str(number) for number in range(20))
    next(reading)
    server.wait_for_requests(s3.WINDOW)
    assert len(list(reading)) == 19
    assert len(list(bucket.get_each(str(number) for number in range(20)))) == 20
    assert server.connections == s3.WINDOW


@pytest.mark.parametrize("trouble", [error(503, "SlowDown"), error(500, "InternalError"), lambda _: False])
def test_what_passes_is_tried_again(local, trouble):
    server, bucket = local
    server.acts.extend([trouble, trouble, answer(body=b"here")])
    assert bucket.get("a") == b"here"
    assert len(server.requests) == 3


def test_what_stays_is_unavailable(local):
    server, bucket = local
    server.acts.extend([error(503, "SlowDown")] * 10)
    with pytest.raises(Unavailable, match="SlowDown"):
        bucket.get("a")
    assert len(server.requests) == s3.MAX_ATTEMPTS


def test_what_is_refused_is_not_tried_again(local):
    server, bucket = local
    server.acts.append(error(403, "AccessDenied"))
    with pytest.raises(Rejected, match="AccessDenied: S3, a"):
        bucket.get("a")
    assert len(server.requests) == 1


def test_nobody_listens(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="can't be reached"):
        Bucket("things", REGION).get("a")


def test_expired_credentials_are_renounced(local):
    server, _ = local
    held = [Credentials("OLD", "s", "t"), Credentials("NEW", "s", "t")]

    class Source:
        def current(self):
            return held[0]

        def renounce(self, stale):
            assert stale == held.pop(0)

    bucket = Bucket("things", REGION, identity=Source())
    server.acts.extend([error(400, "ExpiredToken"), answer(body=b"here")])
    assert bucket.get("a") == b"here"
    first, second = (request.headers["authorization"] for request in server.requests)
    assert "Credential=OLD/" in first
    assert "Credential=NEW/" in second


def test_a_bucket_has_a_host_of_its_own_and_requests_are_signed_like_botocore(monkeypatch):
    """What AWS sees, where no emulator is set."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    bucket = Bucket("things", REGION, "usage/")
    request = bucket.sign("PUT", bucket._path("day=1/a b.gz"), {}, {"if-none-match": "*"}, b"body")
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert (line, body) == ("PUT /usage/day%3D1/a%20b.gz HTTP/1.1", b"body")
    assert headers["host"] == "things.s3.eu-west-1.amazonaws.com"
    signer = auth.S3SigV4Auth(BotoCredentials("AKIDEXAMPLE", "not-a-real-secret", "token"), "s3", REGION)
    given = {name: value for name, value in headers.items() if name in ("if-none-match", "content-length")}
    expected = AWSRequest(
        "PUT", f"https://{headers['host']}/usage/day%3D1/a%20b.gz", headers=given, data=b"body"
    )
    expected.context["payload_signing_enabled"] = True
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda **_: moment.replace(tzinfo=None))
    signer.add_auth(expected)
    assert expected.headers["authorization"] == headers["authorization"]
