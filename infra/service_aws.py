"""The [aws] table of service.toml: where and how `payphone deploy` puts the service on AWS.

All of it has a default, so that a service that stays on one machine needs no such table.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
STAGE_PATTERN = r"^[a-z][a-z0-9]{0,15}$"  # no hyphen: names of stacks are made of it with hyphens

# Of CloudWatch Logs, PutRetentionPolicy.
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557)


class ModelOnAws(BaseModel):
    """[aws.models.NAME]: how one model is deployed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: Annotated[int, Field(strict=True, ge=128, le=10_240)] = 512
    """MB. CPU comes in proportion: one whole at 1,769."""
    artifact: Literal["layer", "s3"] = "layer"
    """Where its Lambda has the model from; over Lambda's limit on layers it has to be S3."""
    reserved_concurrency: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None
    """Calls at once that are kept for it, and the most it may have."""
    snap_start: Annotated[bool, Field(strict=True)] = False
    """Start it from a snapshot of its memory instead of anew (docs/hot-path.md says when that pays)."""
    provisioned_concurrency: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None
    """Calls at once for which it is kept started. It is paid for by the hour, called or not."""

    runtime_client: Literal["payphone", "aws"] = "payphone"
    """What asks Lambda for events: Payphone's own client, light, or AWS' (docs/hot-path.md compares them).
    With `snap_start` it is always AWS'."""

    @property
    def own_client(self) -> bool:
        """Whether it runs under Payphone's runtime client, which can't be started from a snapshot."""
        return self.runtime_client == "payphone" and not self.snap_start

    @model_validator(mode="after")
    def _possible(self) -> ModelOnAws:
        if self.snap_start and self.provisioned_concurrency:
            raise misplaced("Lambda allows snap_start or provisioned_concurrency, not both", "snap_start")
        if (self.provisioned_concurrency or 0) > (self.reserved_concurrency or 100_000):
            expected = f"at most reserved_concurrency, {self.reserved_concurrency}, was expected"
            raise misplaced(expected, "provisioned_concurrency")
        return self


class Aws(BaseModel):
    """The [aws] table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[str, Field(pattern=STAGE_PATTERN)] = "prod"
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "us-east-1"
    machine: Literal["x86_64", "arm64"] = "x86_64"
    python: Literal["3.12", "3.13", "3.14"] = "3.13"
    """3.11 is not among them: libLiteRt.so needs a newer C library than Lambda's image of it has."""
    log_retention_days: Annotated[int, Field(strict=True)] = 30
    customer_managed_key: Annotated[bool, Field(strict=True)] = False
    domain: Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")] | None = None
    certificate: Annotated[str, Field(pattern=r"^arn:[a-z-]+:acm:.+$")] | None = None
    web_acl: Annotated[str, Field(pattern=r"^arn:[a-z-]+:wafv2:.+$")] | None = None
    alarms_to: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    models: dict[ModelName, ModelOnAws] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Aws:
        if self.log_retention_days not in RETENTION_DAYS:
            known = ", ".join(map(str, RETENTION_DAYS))
            raise misplaced(f"one of {known} was expected", "aws", "log_retention_days")
        if (self.domain is None) != (self.certificate is None):
            given = "certificate" if self.domain is None else "domain"
            raise misplaced("domain and certificate belong together", "aws", given)
        return self

    def model(self, name: str) -> ModelOnAws:
        """The settings of one model."""
        return self.models.get(name, ModelOnAws())


def misplaced(expected: str, *keys: str | int) -> PydanticCustomError:
    """An error that several settings have a part in, at the one that has to be edited."""
    return PydanticCustomError("misplaced", "{expected}", {"expected": expected, "at": keys})
