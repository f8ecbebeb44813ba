"""What talks to AWS on the hot path, on the standard library alone: credentials, signatures, one socket."""
