"""Who speaks: a GRU over two vowels in a row."""
