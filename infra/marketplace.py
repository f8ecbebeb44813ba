"""PRODUCT.toml: what is sold on AWS Marketplace, and who bought it there."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class ProductError(ValueError):
    """The file can't be used; the message says why."""


class Product(BaseModel):
    """`dimensions` by model, `buyers` (the Marketplace's CustomerIdentifier) by our customers' ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_code: str
    region: str = "us-east-1"
    dimensions: dict[str, str]
    buyers: dict[str, str]


def load(path: Path) -> Product:
    """Read and check the file; ProductError."""
    try:
        return Product.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProductError(f"{path} can't be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = "product_code, [dimensions] and [buyers] were expected"
        raise ProductError(f"{path}: {where}: {first['msg']}; {said}") from None
