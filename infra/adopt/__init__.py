"""Bring your own model: a file of anyone's making becomes a published version, or a reason why not."""
