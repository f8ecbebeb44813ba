"""Sentences as vectors: the pretrained MiniLM, of which nothing is trained here."""
