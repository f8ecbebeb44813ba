"""S3Store keeps the store's promises with S3's conditional writes (moto's, here)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from moto import mock_aws

from models.s3 import S3Store
from models.store import AlreadyStored, NotInStore


@pytest.fixture
def bucket(monkeypatch):
    for name in ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    with mock_aws():
        client = boto3.client("s3", "us-east-1")
        client.create_bucket(Bucket="registry")
        yield client
        client.close()


@pytest.fixture
def store(bucket):
    return S3Store("registry", "models/", bucket)


def test_gives_back_what_was_put_below_the_prefix(store, bucket):
    store.put("a/1/model", b"\0\xff")
    assert store.get("a/1/model") == b"\0\xff"
    assert [o["Key"] for o in bucket.list_objects_v2(Bucket="registry")["Contents"]] == ["models/a/1/model"]


def test_an_unknown_name_says_so(store):
    with pytest.raises(NotInStore, match="a/2"):
        store.get("a/2")


def test_put_never_replaces(store):
    store.put("a", b"first")
    with pytest.raises(AlreadyStored, match="a"):
        store.put("a", b"second")
    assert store.get("a") == b"first"


def test_swap_replaces_only_what_was_read(store):
    store.swap("live", b"1", expected=None)
    store.swap("live", b"2", expected=b"1")
    for expected in (None, b"1", b""):
        with pytest.raises(AlreadyStored):
            store.swap("live", b"3", expected=expected)
    with pytest.raises(AlreadyStored):
        store.swap("never", b"1", expected=b"0")
    assert store.get("live") == b"2"
    assert store.list("") == ["live"]


def test_a_pointer_that_moves_after_the_comparison_is_not_overwritten(store, monkeypatch):
    """Another operator swaps between our read and our write: only S3's own condition can tell."""
    store.swap("live", b"1", expected=None)
    read = store._read

    def overtaken(name):
        seen = read(name)
        monkeypatch.setattr(store, "_read", read)
        store.swap(name, b"theirs", expected=b"1")
        return seen

    monkeypatch.setattr(store, "_read", overtaken)
    with pytest.raises(AlreadyStored):
        store.swap("live", b"ours", expected=b"1")
    assert store.get("live") == b"theirs"


def test_of_many_publishers_one_wins(store):
    together = threading.Barrier(4)

    def publish(number):
        together.wait()
        try:
            store.put("a/1", b"%d" % number)
        except AlreadyStored:
            return None
        return b"%d" % number

    with ThreadPoolExecutor(4) as pool:
        [won] = [data for data in pool.map(publish, range(4)) if data]
    assert store.get("a/1") == won


def test_lists_all_pages_by_prefix(store, bucket):
    bucket.put_object(Bucket="registry", Key="elsewhere", Body=b"")
    names = [f"a/{number:04}" for number in range(1005)]
    for name in [*names, "b/1"]:
        bucket.put_object(Bucket="registry", Key=f"models/{name}", Body=b"")
    assert store.list("a/") == names
    assert store.list("") == [*names, "b/1"]
    assert store.list("c") == []


def test_other_failures_are_shown_as_they_are(bucket):
    store = S3Store("no-such-bucket", "", bucket)
    for action in (lambda: store.get("a"), lambda: store.put("a", b"")):
        with pytest.raises(bucket.exceptions.ClientError, match="NoSuchBucket"):
            action()


def test_a_prefix_ends_in_a_slash(bucket):
    with pytest.raises(ValueError, match="'models/' was expected"):
        S3Store("registry", "models", bucket)
