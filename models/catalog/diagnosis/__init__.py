"""Diagnosis of a breast mass by a decision tree that a person can read."""
