"""The models we ship: one folder each, with model.toml (what is data) and train.py (what is not)."""
