"""Whose name requests are signed in: credentials from the environment or a container's own endpoint.

A Lambda finds them in AWS_ACCESS_KEY_ID and its siblings; one restored from a snapshot (SnapStart),
and ECS and EKS, at AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI, from where they are fetched
anew before they expire. Profiles, SSO and instance roles belong to an operator's machine, which
has boto3. Nothing here is ever logged: the repr shows the key id alone.
"""

from __future__ import annotations

from os import environ
from time import monotonic, time

from functions.aws.wire import Connection, ConnectionLost, Endpoint, split_url
from models.strict_json import loads
from models.typed import NamedTuple, Protocol

CONTAINER_HOST = Endpoint("169.254.170.2", 80, tls=False)
PLAIN_HTTP_HOSTS = ("127.0.0.1", "localhost", "::1", CONTAINER_HOST.host, "169.254.170.23", "fd00:ec2::23")
REFRESH_SECONDS = 300
RETRY_SECONDS = 10
FETCH_SECONDS = 1.0


class CredentialsUnavailable(Exception):
    """There are no credentials to sign with."""


class Credentials(NamedTuple):
    """One set of credentials; `token` is "" for a user's own, `expires_at` is in seconds since 1970."""

    access_key: str
    secret_key: str
    token: str = ""
    expires_at: float = float("inf")

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, …)"


class Identity(Protocol):
    """Where credentials come from: CredentialSource, or an operator's own."""

    def current(self) -> Credentials:
        """The credentials of this moment."""

    def renounce(self, stale: Credentials) -> None:
        """Forget what AWS refused as expired."""


class CredentialSource:
    """Gives the credentials of this moment. Cheap enough to be asked every second."""

    def __init__(self) -> None:
        self._held: Credentials | None = None
        self._fetch_again_at = 0.0

    def current(self) -> Credentials:
        """The environment's credentials as they are now, else the container's; CredentialsUnavailable."""
        if access_key := environ.get("AWS_ACCESS_KEY_ID"):
            secret_key = environ.get("AWS_SECRET_ACCESS_KEY")
            if not secret_key:
                raise CredentialsUnavailable(
                    "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not: set both"
                )
            return Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN", ""))
        now, held = time(), self._held
        if (
            held is None
            or now >= held.expires_at
            or (now > held.expires_at - REFRESH_SECONDS and now >= self._fetch_again_at)
        ):
            self._held = held = self._fetched(now, held)
        return held

    def renounce(self, stale: Credentials) -> None:
        """Forget `stale`, which AWS refused as expired, so that the next use fetches anew."""
        if self._held == stale:
            self._held = None

    def _fetched(self, now: float, held: Credentials | None) -> Credentials:
        """New credentials; if there are none to be had, those held while they are valid."""
        self._fetch_again_at = now + RETRY_SECONDS
        try:
            return _fetch()
        except CredentialsUnavailable:
            if held is None or now >= held.expires_at:
                raise
            return held


def _fetch() -> Credentials:
    """Ask the container's endpoint (docs.aws.amazon.com/sdkref: container credential provider)."""
    endpoint, path = _container_endpoint()
    headers = f"GET {path} HTTP/1.1\r\nHost: {endpoint.authority}\r\nAccept: application/json\r\n"
    if token := _authorization():
        headers += f"Authorization: {token}\r\n"
    connection, deadline = Connection(endpoint), monotonic() + FETCH_SECONDS
    try:
        connection.send((headers + "Connection: close\r\n\r\n").encode(), deadline)
        status, _, body = connection.receive(deadline)
    except ConnectionLost as error:
        raise CredentialsUnavailable(f"the container's credentials can't be fetched: {error}") from error
    if status != 200:
        raise CredentialsUnavailable(f"the container's credentials can't be fetched: HTTP status {status}")
    try:
        found = loads(body)
        return Credentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["Token"], _instant(found["Expiration"])
        )
    except (ValueError, KeyError, TypeError):  # the cause would show the body
        raise CredentialsUnavailable(
            "the container's credentials lack AccessKeyId, SecretAccessKey, Token or a valid Expiration"
        ) from None


def _container_endpoint() -> tuple[Endpoint, str]:
    if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return CONTAINER_HOST, _one_line(relative, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not full:
        raise CredentialsUnavailable(
            "no AWS credentials: neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
        )
    try:
        endpoint, path = split_url(_one_line(full, "AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    except ValueError as error:
        raise CredentialsUnavailable(f"AWS_CONTAINER_CREDENTIALS_FULL_URI: {error}") from error
    if not endpoint.tls and endpoint.host not in PLAIN_HTTP_HOSTS:
        raise CredentialsUnavailable(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {endpoint.host}: only TLS or this machine was expected"
        )
    return endpoint, path


def _authorization() -> str:
    if path := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123  pathlib is a slow import
                return _one_line(file.read().strip(), "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsUnavailable(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: {error}") from error
    return _one_line(
        environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""), "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    )


def _one_line(value: str, name: str) -> str:
    if not value.isprintable():
        raise CredentialsUnavailable(f"{name} holds a control character: one line was expected")
    return value


def _instant(text: str) -> float:
    from datetime import datetime  # container credentials only

    return datetime.fromisoformat(text).timestamp()
