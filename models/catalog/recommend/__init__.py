"""Films for a viewer: matrix factorisation on MovieLens-100K."""
