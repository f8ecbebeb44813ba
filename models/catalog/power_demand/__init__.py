"""Summer or winter by a day of power demand: a CNN over the hours."""
