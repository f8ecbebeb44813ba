"""What a deployed function says of a call: one line, log and metrics in one, and no payload in it.

In CloudWatch's embedded metric format a JSON log line carries its metrics; what it has besides are
plain fields to search in. One line and one write, for at this size logs cost as much as the ledger. It is
also the evidence that reconciliation asks for where the access log has a gap.
"""

from __future__ import annotations

from resource import RUSAGE_SELF, getrusage

from models.strict_json import quoted

NAMESPACE = "Payphone"
METRICS = {
    "calls": "Count",
    "billed": "Count",
    "failed": "Count",
    "inference_us": "Microseconds",
    "total_us": "Microseconds",
}
_DEFINED = ",".join(f'{{"Name":"{name}","Unit":"{unit}"}}' for name, unit in METRICS.items())
_LINE = (
    '{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"' + NAMESPACE + '",'
    '"Dimensions":[["stage","model"]],"Metrics":[' + _DEFINED + "]}]},"
    '"stage":%s,"model":%s,"version":%s,"calls":1,"billed":%d,"failed":%d,"inference_us":%d,"total_us":%d,'
    '"status":%d,"call_id":%s,"attempt_id":%s,"request_id":%s,"key_id":%s,"units":%d,"bytes_out":%d,'
    '"memory_mb":%d,"cold":%s}\n'
)


class Telemetry:
    """The lines of one function."""

    def __init__(self, stage: str, model: str, version: str) -> None:
        self._names = (quoted(stage), quoted(model), quoted(version))

    def line(
        self,
        *,
        time_ms: int,
        status: int,
        call_id: str,
        attempt_id: str,
        request_id: str,
        key_id: str,
        units: int,
        billed: bool,
        inference_us: int,
        total_us: int,
        bytes_out: int,
        cold: bool,
    ) -> bytes:
        """The line of one call, with its end. `failed` counts what is our fault.

        `request_id` may be the caller's own; `units` is 0 where the input was not read; `billed` is whether
        this very attempt was; `inference_us` and `total_us` are microseconds.
        """
        text = _LINE % (
            time_ms,
            *self._names,
            billed,
            status >= 500,
            inference_us,
            total_us,
            status,
            quoted(call_id),
            quoted(attempt_id),
            quoted(request_id),
            quoted(key_id),
            units,
            bytes_out,
            getrusage(RUSAGE_SELF).ru_maxrss // 1024,
            "true" if cold else "false",
        )
        return text.encode()
