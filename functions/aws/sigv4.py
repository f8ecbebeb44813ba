"""AWS Signature Version 4: JSON calls (DynamoDB) with all that can be kept prepared, and S3 requests.

docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. A signing key lasts
a UTC day; a request's head and canonical form, but for the body's hash, last a second, and are hashed
already. So a call within the second costs the hash of its body and three that go on from a copy.
Signatures equal botocore's.
"""

from __future__ import annotations

from time import gmtime, strftime, time

from functions.aws.credentials import Credentials
from models.digests import hmac_digest, sha256
from models.typed import Any, Callable, Iterable, Mapping, NamedTuple

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
JSON_TYPE = "application/x-amz-json-1.%d"
JSON_VERSION = {"dynamodb": 0}  # of the protocol; the other services that we call have 1
# Proxies may change these on the way, so botocore and we leave them out of the signature.
NEVER_SIGNED = ("expect", "transfer-encoding", "user-agent", "x-amzn-trace-id")
_BLOCK = 64  # bytes that SHA-256 takes at a time; a signing key is 32
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class _Moment(NamedTuple):
    """What all signatures of one second share. `token` is "" or the session token."""

    second: int
    credentials: Credentials
    stamp: str
    scope: str
    key: bytes


class _Post(NamedTuple):
    """A JSON call of one operation, prepared up to its body: three SHA-256 that go on from copies.

    `canonical` has all of the canonical request but its payload's hash; `inner` and `outer` are the two of
    HMAC (RFC 2104), `inner` with all that is signed but the canonical request's hash.
    """

    moment: _Moment
    canonical: Any
    inner: Any
    outer: Any
    head: bytes


class Signer:
    """Signs for one service at one host. Threads may share it."""

    def __init__(self, service: str, region: str, host: str, credentials: Callable[[], Credentials]) -> None:
        """`host` is the Host header; `credentials` is asked once a second in which something is signed."""
        self.service, self.region, self.host = service, region, host
        self.skew = 0.0  # seconds the service's clock is ahead of ours
        self._json_type = JSON_TYPE % JSON_VERSION.get(service, 1)
        self._credentials = credentials
        self._moment: _Moment | None = None
        self._posts: dict[str, _Post] = {}

    def forget(self) -> Credentials | None:
        """Ask for credentials at the next signature; gives those that were in use."""
        moment, self._moment = self._moment, None
        return moment and moment.credentials

    def post(self, target: str, body: bytes) -> bytes:
        """The whole HTTP request of a JSON call; `target` is like DynamoDB_20120810.PutItem."""
        moment = self._now()
        post = self._posts.get(target)
        if post is None or post.moment is not moment:
            post = self._posts[target] = self._prepare(moment, target)
        canonical, inner, outer = post.canonical.copy(), post.inner.copy(), post.outer.copy()
        canonical.update(sha256(body).hexdigest().encode())
        inner.update(canonical.hexdigest().encode())
        outer.update(inner.digest())
        signature = outer.hexdigest().encode()
        return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (post.head, signature, len(body), body)

    def request(
        self,
        method: str,
        path: str,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        payload: str = UNSIGNED_PAYLOAD,
    ) -> bytes:
        """The head of an S3 request, to which the body is appended.

        `path` and `query` are unencoded; `payload` is the hex SHA-256 of the body, if that is to be
        signed too. ValueError for headers that would break out of their line.
        """
        moment = self._now()
        path = quoted(path, keep="/")
        search = "&".join(f"{k}={v}" for k, v in sorted((quoted(k), quoted(v)) for k, v in query))
        named = {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
        named |= {"host": self.host, "x-amz-date": moment.stamp, "x-amz-content-sha256": payload}
        if moment.credentials.token:
            named["x-amz-security-token"] = moment.credentials.token
        signed = sorted(named.keys() - set(NEVER_SIGNED))
        canonical = "\n".join(
            (
                method,
                path,
                search,
                *(f"{name}:{named[name]}" for name in signed),
                "",
                ";".join(signed),
                payload,
            )
        )
        to_sign = "\n".join((ALGORITHM, moment.stamp, moment.scope, sha256(canonical.encode()).hexdigest()))
        signature = hmac_digest(moment.key, to_sign.encode(), "sha256").hex()
        named["authorization"] = _authorization(moment, ";".join(signed)) + signature
        lines = [f"{method} {path}{'?' if search else ''}{search} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        if not all(map(str.isprintable, lines)):
            raise ValueError("a method or header holds a control character: plain text was expected")
        return "\r\n".join((*lines, "\r\n")).encode()

    def _now(self) -> _Moment:
        second = int(time() + self.skew)
        moment = self._moment
        if moment is not None and moment.second == second:
            return moment
        credentials = self._credentials()
        stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(second))
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        if moment is not None and moment.scope == scope and moment.credentials == credentials:
            key = moment.key
        else:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in scope.split("/"):
                key = hmac_digest(key, part.encode(), "sha256")
        # One assignment, so that a thread never sees parts of two seconds.
        self._moment = moment = _Moment(second, credentials, stamp, scope, key)
        return moment

    def _prepare(self, moment: _Moment, target: str) -> _Post:
        named = {"content-type": self._json_type, "host": self.host, "x-amz-date": moment.stamp}
        if moment.credentials.token:
            named["x-amz-security-token"] = moment.credentials.token
        named["x-amz-target"] = target
        signed = ";".join(named)
        canonical = "".join(f"{name}:{value}\n" for name, value in named.items())
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        to_sign = f"{ALGORITHM}\n{moment.stamp}\n{moment.scope}\n".encode()
        key = moment.key.ljust(_BLOCK, b"\0")
        return _Post(
            moment,
            canonical=sha256(f"POST\n/\n\n{canonical}\n{signed}\n".encode()),
            inner=sha256(key.translate(_INNER) + to_sign),
            outer=sha256(key.translate(_OUTER)),
            head=f"POST / HTTP/1.1\r\n{head}authorization: {_authorization(moment, signed)}".encode(),
        )


def quoted(text: str, keep: str = "") -> str:
    """Percent-encode all of UTF-8 but unreserved characters and `keep`, as the canonical form wants it."""
    kept = PLAIN | frozenset(keep.encode())
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in text.encode())


def _authorization(moment: _Moment, signed: str) -> str:
    access_key = moment.credentials.access_key
    return f"{ALGORITHM} Credential={access_key}/{moment.scope}, SignedHeaders={signed}, Signature="
