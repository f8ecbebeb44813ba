"""Credit-card fraud: a random forest on 284,807 payments, of which 492 are fraud."""
