"""The store in an S3 bucket, for publishing from an operator's machine: the same protocol as a folder.

S3 itself keeps the promises: a conditional write (If-None-Match, If-Match) is refused if the name is
taken or the pointer has moved, and an object appears whole or not at all. The client is boto3's,
given by the caller; no Lambda imports this.
"""

from __future__ import annotations

from typing import Any

from models.store import AlreadyStored, NotInStore

# The condition did not hold; two conditional writes met, and this one lost; the object to match is gone.
LOST = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


class S3Store:
    """Objects below a prefix of one bucket. Any other failure is botocore's ClientError, as it comes."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        """`prefix` is "" or ends in a slash; `client` is `boto3.client("s3")`."""
        if prefix and not prefix.endswith("/"):
            raise ValueError(f"the prefix {prefix!r} does not end in a slash: {prefix + '/'!r} was expected")
        self._bucket, self._prefix, self._client = bucket, prefix, client

    def get(self, name: str) -> bytes:
        """Read one object."""
        return self._read(name)[0]

    def put(self, name: str, data: bytes) -> None:
        """Write on the condition that there is none of this name.

        Where boto3 tries again after a lost answer, it may meet its own first try: that is AlreadyStored
        too, and `get` tells.
        """
        self._write(name, data, IfNoneMatch="*")

    def swap(self, name: str, data: bytes, *, expected: bytes | None) -> None:
        """Compare, then write on the condition that the compared object is still there."""
        if expected is None:
            self._write(name, data, IfNoneMatch="*")
            return
        try:
            current, tag = self._read(name)
        except NotInStore:
            raise AlreadyStored(f"{name} is not there any more: read it again") from None
        if current != expected:
            raise AlreadyStored(f"{name} was changed by someone else: read it again")
        self._write(name, data, IfMatch=tag)

    def list(self, prefix: str) -> list[str]:
        """Names below the store's own prefix, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        keys = (entry["Key"] for page in pages for entry in page.get("Contents", ()))
        return sorted(key.removeprefix(self._prefix) for key in keys)

    def _read(self, name: str) -> tuple[bytes, str]:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise NotInStore(name) from None
            raise
        return answer["Body"].read(), answer["ETag"]

    def _write(self, name: str, data: bytes, **condition: str) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data, **condition)
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in LOST:
                raise
            raise AlreadyStored(name) from None
