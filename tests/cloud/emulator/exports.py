"""DynamoDB exports that hold something: ministack describes an export and writes none.

The layout is AWS' (Developer Guide, "DynamoDB table export output format"), with one data file.
"""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from ministack.services import dynamodb
from streams import _store as store

_describe = dynamodb._describe_export


def describe(request: dict[str, Any]) -> Any:
    """DescribeExport; an export that has just been completed is written first."""
    before = dict(dynamodb._exports.get(request.get("ExportArn")) or {})
    answer = _describe(request)
    export = dynamodb._exports.get(request.get("ExportArn"))
    if export and before["ExportStatus"] == "IN_PROGRESS" and export["ExportStatus"] == "COMPLETED":
        _write(export)
        return _describe(request)
    return answer


def _write(export: dict[str, Any]) -> None:
    parts = [export.get("S3Prefix", ""), "AWSDynamoDB", export["ExportArn"].rpartition("/")[2]]
    folder = "/".join(filter(None, parts))
    table = dynamodb._tables[dynamodb._table_name_from_arn(export["TableArn"])]
    items = [item for of_key in table["items"].values() for item in of_key.values()]
    lines = "".join(json.dumps({"Item": item}) + "\n" for item in items)
    _put(export, f"{folder}/data/one.json.gz", gzip.compress(lines.encode()))
    manifest = {"itemCount": len(items), "exportArn": export["ExportArn"], "s3Bucket": export["S3Bucket"]}
    _put(export, f"{folder}/manifest-summary.json", json.dumps(manifest).encode())
    export["ExportManifest"] = f"{folder}/manifest-summary.json"


def _put(export: dict[str, Any], name: str, data: bytes) -> None:
    """Store an object from a thread: the request that asks runs on the event loop."""
    with ThreadPoolExecutor(1) as aside:
        aside.submit(copy_context().run, store, export["S3Bucket"], name, data).result()


def install() -> None:
    """Take over from ministack."""
    dynamodb._describe_export = describe
