"""What the layer brings."""

TEXT = "from the layer"
