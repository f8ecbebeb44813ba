"""The training side of functions/preprocess: how the parameters and files of a kind are made."""
