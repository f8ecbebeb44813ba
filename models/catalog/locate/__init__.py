"""Digits found and named on a canvas: real digits, placed by us."""
