"""The whole catalog at once: built, proven, published, timed and reported."""
