"""Loading a published model and running it: LiteRT through its C API, the Interpreter as fallback."""
