"""The refusal of a model that can't be converted or served as it is, free of any framework."""


class ConversionError(RuntimeError):
    """The model can't become a LiteRT file of builtin ops; the message names the part and the remedy."""
