import json
from datetime import UTC, datetime

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from functions.aws import sigv4
from functions.aws.credentials import Credentials
from functions.aws.sigv4 import Signer

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
plain = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", min_size=1, max_size=20)
secret = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=60)
credentials = st.builds(Credentials, plain, secret, st.one_of(st.just(""), plain))
instants = st.integers(0, 4_000_000_000)
# What HTTP allows in a header's value; blanks are where canonical forms differ.
values = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30)


def at(monkeypatch, instant):
    """Hold both signers' clocks."""
    monkeypatch.setattr(sigv4, "time", lambda: instant + 0.7)
    monkeypatch.setattr(
        auth, "get_current_datetime", lambda **_: datetime.fromtimestamp(instant, UTC).replace(tzinfo=None)
    )


def theirs(signing, url, method, headers, body, credentials, service, region):
    request = AWSRequest(method, url, headers=headers, data=body)
    boto = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.token or None)
    signing(boto, service, region).add_auth(request)
    return request.headers


def parsed(head):
    line, *lines = head.decode().split("\r\n")
    return line, dict(line.split(": ", 1) for line in lines if line)


@given(credentials, plain, plain, plain, st.binary(max_size=300), instants, st.integers(0, 2))
def test_json_calls_are_signed_like_botocore(credentials, region, host, target, body, instant, later):
    host = host.lower()
    signer = Signer("dynamodb", region, host, lambda: credentials)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for moment in (instant, instant + later):  # the second one may reuse what the first prepared
            at(monkeypatch, moment)
            head, _, sent = signer.post(target, body).partition(b"\r\n\r\n")
            line, headers = parsed(head)
            expected = theirs(
                auth.SigV4Auth,
                f"https://{host}/",
                "POST",
                {"content-type": "application/x-amz-json-1.0", "x-amz-target": target},
                body,
                credentials,
                "dynamodb",
                region,
            )
            assert (line, sent) == ("POST / HTTP/1.1", body)
            assert headers.pop("host") == host
            assert headers.pop("content-length") == str(len(body))
            assert headers == {name.lower(): value for name, value in expected.items()}


@given(
    credentials,
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    text,
    st.lists(st.tuples(text, text), max_size=4),
    st.dictionaries(st.sampled_from(["Range", "If-Match", "x-amz-meta-a", "Accept", "User-Agent"]), values),
    st.one_of(st.just("UNSIGNED-PAYLOAD"), st.just("ab" * 32)),
    instants,
)
def test_s3_requests_are_signed_like_botocore(credentials, method, key, query, headers, payload, instant):
    from urllib.parse import quote

    signer = Signer("s3", "eu-west-1", "bucket.s3.eu-west-1.amazonaws.com", lambda: credentials)

    class S3Auth(auth.S3SigV4Auth):
        def payload(self, request):
            return payload

    path, search = quote(f"/{key}", safe="/~"), "&".join(f"{quote(k, '~')}={quote(v, '~')}" for k, v in query)
    with pytest.MonkeyPatch.context() as monkeypatch:
        at(monkeypatch, instant)
        line, sent = parsed(signer.request(method, f"/{key}", query, headers, payload))
        url = f"https://{signer.host}{path}" + (f"?{search}" if search else "")
        expected = theirs(S3Auth, url, method, headers, None, credentials, "s3", "eu-west-1")
    assert sent["authorization"] == expected["Authorization"]
    assert sent["x-amz-content-sha256"] == expected["X-Amz-Content-SHA256"] == payload
    assert line.startswith(f"{method} {path}") and line.endswith(" HTTP/1.1")


def test_a_header_can_not_break_out_of_its_line():
    signer = Signer("s3", "eu-west-1", "host", lambda: Credentials("id", "secret"))
    with pytest.raises(ValueError, match="control character"):
        signer.request("GET", "/", headers={"range": "a", "x-a\r\nx-b": "1"})
    assert b"a b" in signer.request("GET", "/", headers={"range": "a\r\nb"})


def test_credentials_are_asked_for_anew_each_second(monkeypatch):
    """Rotated credentials sign from the next second on; within one nobody is asked."""
    asked = []

    def rotating():
        asked.append(Credentials(f"id-{len(asked)}", "secret"))
        return asked[-1]

    signer = Signer("dynamodb", "eu-west-1", "host", rotating)
    for instant in (1000, 1000, 1001):
        at(monkeypatch, instant)
        last = signer.post("A.B", json.dumps({}).encode())
    assert len(asked) == 2
    assert b"Credential=id-1/19700101/" in last
