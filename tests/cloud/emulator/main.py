"""The local AWS that the cloud tests deploy to: ministack, mended where it differs from AWS.

Run by the emulator's own interpreter (see provision.py), never imported by a test. ministack gives
CloudFormation, DynamoDB, S3, API Gateway, Lambda and the rest; the modules beside this one replace,
in this process, what a metered API can't be proven on. They reach into private names, so the version
is exact and checked before anything starts.

What still differs from AWS, hence is proven only by a first real deploy:
- API Gateway integrations other than Lambda proxy (MOCK, VTL) are weak; quota windows roll from the
  first call instead of starting with the calendar period; repeated request headers are joined.
- Access logs always arrive, at once; on AWS they come late and with no guarantee. Firehose writes one
  object a record and compresses nothing.
- A stream has one shard, so one batch of a mapping is in flight at a time; the pause between retries
  is a constant fraction of a second.
- Functions run on this machine's Python, CPU and C library, whatever Runtime and Architectures say: zips
  have to be built for these. CPU share, the size of /tmp and the freeze between two calls are not
  imitated, and the runtime client is that of the package index, not the one in the Lambda image.
- IAM is enforced only when asked for. Even then a mapping reads its stream and writes to its failure
  bucket, and Firehose to its own, whatever their roles grant. State lives in memory.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys

MINISTACK = "1.5.33"


def check_pin() -> None:
    """Stop unless ministack is the release whose private names are replaced here."""
    found = importlib.metadata.version("ministack")
    if found != MINISTACK:
        sys.exit(
            f"the emulator is written for ministack {MINISTACK} and found {found}. It replaces private "
            "functions of it: compare every one before you move the pin in requirements/emulator.in"
        )


if __name__ == "__main__":
    check_pin()
    import access_log
    import cloudformation
    import exports
    import gateway
    import lambda_runtime
    import policies
    import streams
    import usage_plans
    from ministack import app

    lambda_runtime.install(endpoint=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}")
    streams.install()
    gateway.install()
    access_log.install()
    usage_plans.install()
    cloudformation.install()
    policies.install()
    exports.install()
    app.main()
