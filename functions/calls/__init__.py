"""The predict core: bytes in, status, headers and bytes out. The same for every place it runs in."""
