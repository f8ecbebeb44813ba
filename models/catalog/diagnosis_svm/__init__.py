"""Diagnosis of a breast mass by a support vector machine, on the same data as the tree."""
