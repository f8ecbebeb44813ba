"""One module per deployed Lambda, named by what it does; each only wires parts that others own."""
