"""Sentiment of film reviews: a Transformer encoder on the data of `sentiment`."""
