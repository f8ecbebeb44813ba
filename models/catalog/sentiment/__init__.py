"""Sentiment of film reviews: an LSTM by the classic Keras recipe."""
