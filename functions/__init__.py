"""Stage 2: a request becomes an answer and a usage record."""
