"""Trained object → LiteRT file: one file per source framework, and what they share."""
