"""Train and load `diagnosis`: measurements in, a decision tree and its held-out rows out."""

from models.catalog.breast_masses import load, train

__all__ = ["load", "train"]
