"""Who called what, written exactly once: the ledger, its readers and the access log. Knows no prices."""
