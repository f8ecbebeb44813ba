"""The `payphone` command: one file a noun. Commands only ask, call and print."""
