"""Train and load `sentiment-transformer`: the data, words and split of `sentiment` under another family."""

from models.catalog.sentiment.train import load, train

__all__ = ["load", "train"]
