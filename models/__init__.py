"""Stage 1: a trained model becomes a proven, described, published artifact."""
