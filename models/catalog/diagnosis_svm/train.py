"""Train and load `diagnosis-svm`: measurements in, a calibrated SVM and its held-out rows out."""

from models.catalog.breast_masses import load, train

__all__ = ["load", "train"]
