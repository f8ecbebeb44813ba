"""Sentiment of film reviews: a linear SVM on words and word pairs."""
