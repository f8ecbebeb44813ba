"""Who pays: the identity behind a pseudonym, kept apart from usage so that it can be erased."""
