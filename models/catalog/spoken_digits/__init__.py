"""Digits as they are spoken: a CNN over spectra that the graph itself computes."""
