"""FastAPI routers for everything that is not a call: models, usage, health, docs."""
