"""What a deployed function is told by its environment, checked when it starts.

Nothing reads the environment behind a handler's back: a handler calls `read` with the names it
needs and hands the values on.
"""

from __future__ import annotations

from os import environ

from models.typed import NamedTuple

VERSION = "0.1.0"  # of Payphone, as in pyproject.toml, which no Lambda has
KEY_CACHE_SECONDS = 5.0


class MissingSetting(Exception):
    """A variable that this function needs is not set, or holds something else than it should."""


class Settings(NamedTuple):
    """One value a variable: PAYPHONE_MODEL is `model`, AWS_REGION is `region`.

    `artifact` is a folder, or s3://bucket/prefix; `models` are the names that the control plane
    shows; a key that was revoked opens nothing after `key_cache_seconds`.
    """

    region: str
    stage: str
    model: str
    artifact: str
    models: tuple[str, ...]
    ledger_table: str
    accounts_table: str
    webhooks_table: str
    access_table: str
    archive_bucket: str
    sealing_key: str
    models_bucket: str
    issuer: str
    key_cache_seconds: float


def read(*needed: str) -> Settings:
    """Read the environment; MissingSetting names the first of `needed` that is not there."""
    for name in needed:
        if not environ.get(_variable(name)):
            raise MissingSetting(f"{_variable(name)} is not set: the stack sets it for this function")
    model = environ.get("PAYPHONE_MODEL", "")
    return Settings(
        region=environ.get("AWS_REGION", ""),
        stage=environ.get("PAYPHONE_STAGE", ""),
        model=model,
        artifact=environ.get("PAYPHONE_ARTIFACT") or f"/opt/payphone/{model}",
        models=tuple(name for name in environ.get("PAYPHONE_MODELS", "").split(",") if name),
        ledger_table=environ.get("PAYPHONE_LEDGER_TABLE", ""),
        accounts_table=environ.get("PAYPHONE_ACCOUNTS_TABLE", ""),
        webhooks_table=environ.get("PAYPHONE_WEBHOOKS_TABLE", ""),
        access_table=environ.get("PAYPHONE_ACCESS_TABLE", ""),
        archive_bucket=environ.get("PAYPHONE_ARCHIVE_BUCKET", ""),
        sealing_key=environ.get("PAYPHONE_SEALING_KEY", ""),
        models_bucket=environ.get("PAYPHONE_MODELS_BUCKET", ""),
        issuer=environ.get("PAYPHONE_ISSUER", ""),
        key_cache_seconds=_seconds(environ.get("PAYPHONE_KEY_CACHE_SECONDS")),
    )


def _variable(name: str) -> str:
    return "AWS_REGION" if name == "region" else f"PAYPHONE_{name.upper()}"


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else KEY_CACHE_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise MissingSetting(f"PAYPHONE_KEY_CACHE_SECONDS is {text!r}: from 0 to 3600 was expected")
    return seconds
