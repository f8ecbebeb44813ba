"""Handwritten digits: a CNN on five thousand images of MNIST."""
