import json
from datetime import UTC, datetime

import pytest

from functions.aws import credentials as module
from functions.aws.credentials import Credentials, CredentialSource, CredentialsUnavailable

NOW = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    instant = [NOW]
    monkeypatch.setattr(module, "time", lambda: instant[0])
    return instant


@pytest.fixture
def container(serve, monkeypatch):
    """A container's credential endpoint, as SnapStart has one."""
    server = serve(tls=False)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/2021-08-31/credentials?x=1")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
    return server


def given_out(acts, access_key, lasts):
    expires = datetime.fromtimestamp(NOW + lasts, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"AccessKeyId": access_key, "SecretAccessKey": "s", "Token": "t", "Expiration": expires}
    return acts.reply(body=json.dumps(body).encode())


def test_the_environment_is_read_anew_each_time(monkeypatch):
    source = CredentialSource()
    for key, token in (("A", ""), ("B", "token")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"secret-{key}")
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        assert source.current() == (key, f"secret-{key}", token, float("inf"))


def test_half_a_pair_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    with pytest.raises(CredentialsUnavailable, match="AWS_SECRET_ACCESS_KEY is not"):
        CredentialSource().current()


def test_no_credentials_at_all_says_where_they_were_sought():
    with pytest.raises(CredentialsUnavailable, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        CredentialSource().current()


def test_nothing_shows_the_secret():
    held = Credentials("AKID", "hidden-secret", "hidden-token")
    for shown in (repr(held), str(held), f"{held}", f"{held!s:>80}", repr([held])):
        assert "hidden" not in shown and "AKID" in shown


def test_the_container_is_asked_with_its_token_and_only_before_expiry(container, acts, clock):
    container.acts += [given_out(acts, "first", 3600), given_out(acts, "second", 7200)]
    source = CredentialSource()
    assert source.current() == ("first", "s", "t", NOW + 3600)
    clock[0] += 3600 - module.REFRESH_SECONDS - 1
    assert source.current().access_key == "first"
    assert len(container.requests) == 1
    clock[0] += 2
    assert source.current().access_key == "second"
    for request in container.requests:
        assert request.line == "GET /2021-08-31/credentials?x=1 HTTP/1.1"
        assert request.headers["Authorization"] == "let-me-in"
        assert request.headers["Host"] == f"localhost:{container.port}"


def test_the_token_file_is_read_for_each_fetch(container, acts, clock, monkeypatch, tmp_path):
    token = tmp_path / "token"
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    source = CredentialSource()
    for written in ("one", "two"):
        token.write_text(f"{written}\n")
        container.acts.append(given_out(acts, written, 100))
        assert source.current().access_key == written
        clock[0] += module.RETRY_SECONDS + 1
    assert [request.headers["Authorization"] for request in container.requests] == ["one", "two"]


def test_valid_credentials_outlive_a_failed_refresh(container, acts, clock):
    container.acts += [given_out(acts, "held", 100), acts.reply(500), acts.reply(500), acts.reply(500)]
    source = CredentialSource()
    source.current()
    clock[0] += module.RETRY_SECONDS + 1
    assert source.current().access_key == "held"
    assert source.current().access_key == "held"  # not asked again so soon
    assert len(container.requests) == 2
    clock[0] += 100
    with pytest.raises(CredentialsUnavailable, match="HTTP status 500"):
        source.current()


def test_renounced_credentials_are_fetched_anew(container, acts, clock):
    container.acts += [given_out(acts, "stale", 3600), given_out(acts, "fresh", 3600)]
    source = CredentialSource()
    source.renounce(source.current())
    assert source.current().access_key == "fresh"


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"AccessKeyId": "secret-in-body"}'])
def test_an_unusable_answer_is_an_error_that_does_not_repeat_it(container, acts, body):
    container.acts.append(acts.reply(body=body))
    with pytest.raises(CredentialsUnavailable, match="Expiration") as error:
        CredentialSource().current()
    assert "secret-in-body" not in str(error.value) and error.value.__cause__ is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://example.com/creds", "only TLS or this machine"),
        ("http://10.0.0.1/creds", "only TLS or this machine"),
        ("ftp://localhost/creds", "is no endpoint"),
        ("http://localhost/a\r\nx: y", "control character"),
    ],
)
def test_the_token_is_never_sent_to_a_stranger(monkeypatch, uri, said):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    with pytest.raises(CredentialsUnavailable, match=said):
        CredentialSource().current()
