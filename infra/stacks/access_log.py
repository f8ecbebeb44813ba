"""The gateway's access log: a line for every answer, through Firehose into the archive.

The second record that bills are checked against, so it is written by the gateway and not by what it
checks. The fields are those of functions/metering/accesslog.py, and two more: the gateway's route
(`resource`, from which the model can be told) and the kind of its own errors. No payload, no key, no
client address.
"""

from __future__ import annotations

from aws_cdk import aws_kinesisfirehose as firehose
from constructs import Construct

from infra.stacks.parts import Common, allow, role
from infra.stacks.storage import Storage

PREFIX = "access-log"

# Values that are numbers stand without quotes; none of them can be missing.
_NUMBERS = {
    "time": "$context.requestTimeEpoch",
    "status": "$context.status",
    "response_bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
}
_TEXTS = {
    "request_id": "$context.requestId",  # a client can choose this one
    "attempt_id": "$context.extendedRequestId",  # and never this one, so calls are named by it
    "key_id": "$context.identity.apiKeyId",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "resource": "$context.resourcePath",
    "error": "$context.error.responseType",
    "model": "",  # the gateway can't name it; `resource` holds it
}
_FIELDS = [f'"{name}":{value}' for name, value in _NUMBERS.items()]
_FIELDS += [f'"{name}":"{value}"' for name, value in _TEXTS.items()]
FORMAT = f"{{{','.join(_FIELDS)}}}"


def stream(scope: Construct, common: Common, storage: Storage) -> firehose.CfnDeliveryStream:
    """The stream that the gateway's stage logs to; its name has to start as it does."""
    writer = role(
        scope,
        "AccessLogRole",
        "firehose.amazonaws.com",
        allow(["s3:PutObject", "s3:AbortMultipartUpload"], storage.objects(storage.archive, PREFIX)),
        allow(["s3:GetBucketLocation", "s3:ListBucket"], storage.archive.bucket_arn),
        *([allow(["kms:GenerateDataKey", "kms:Decrypt"], storage.key.key_arn)] if storage.key else []),
    )
    return firehose.CfnDeliveryStream(
        scope,
        "AccessLog",
        delivery_stream_name=f"amazon-apigateway-{common.target.stack}",
        delivery_stream_encryption_configuration_input=(
            firehose.CfnDeliveryStream.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="AWS_OWNED_CMK"
            )
        ),
        extended_s3_destination_configuration=(
            firehose.CfnDeliveryStream.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=storage.archive.bucket_arn,
                role_arn=writer.role_arn,
                prefix=f"{PREFIX}/",
                error_output_prefix=f"{PREFIX}/failed/",
                buffering_hints=firehose.CfnDeliveryStream.BufferingHintsProperty(
                    interval_in_seconds=60, size_in_m_bs=16
                ),
            )
        ),
    )
