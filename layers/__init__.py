"""Stage 3: artifacts and code become zips."""
