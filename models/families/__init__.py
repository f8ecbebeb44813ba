"""Families of models: one file each, with what builds and fits a model of that family."""
