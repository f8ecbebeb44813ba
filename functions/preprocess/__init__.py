"""What turns a request value into the graph's tensors: one file per kind. Standard library only."""
